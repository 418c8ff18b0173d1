"""The error for problems that the user can mend: one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations


class InputError(Exception):
    """Raised when something that the user gave cannot be used.

    The message is one line: what is wrong, where, and how to mend it. The command line prints it without a
    traceback and exits with 1; earlier results are kept.

    Args:
        message: The message; line breaks and repeated spaces in it become single spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
