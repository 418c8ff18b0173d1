"""The error for problems that the user can mend: one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations

LONGEST = 1500
"""Longest message, in characters; in a longer one, what a user wrote is quoted at length, so its middle is left out."""


class InputError(Exception):
    """Raised when something that the user gave cannot be used.

    The message is one line: what is wrong, where, and how to mend it. The command line prints it without a
    traceback and exits with 1; earlier results are kept.

    Args:
        message: The message; line breaks and repeated spaces in it become single spaces. Characters that a terminal
            cannot show, or would obey, are written as Python writes them, and the middle of a very long message is
            left out.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
        if len(line) > LONGEST:
            line = f"{line[: LONGEST * 2 // 3]} [...] {line[-LONGEST // 3 :]}"
        super().__init__(line)


def from_system(error: OSError) -> InputError:
    """Say in one line what the system refused, for errors that no check has foreseen.

    Args:
        error: What was raised, by a path that is too long, a folder that may not be entered, a full disk and the like.
    """
    where = f"{error.filename}: " if error.filename else ""
    return InputError(f"{where}{error.strerror or error}: check the path, its permissions and the room on its disk")
