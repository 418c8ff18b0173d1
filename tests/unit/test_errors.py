"""Test the error that a user sees: one line, whatever it quotes."""

from __future__ import annotations

import errno

import pytest

from plateaus.errors import LONGEST, InputError, from_system


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("two\nlines\u2028and \x85 more", "two lines and more"),
        ("\x1b[31mred\x00 \ud800", "\\x1b[31mred\\x00 \\ud800"),
        ("日本 é 🙂", "日本 é 🙂"),
    ],
)
def test_a_message_is_one_line_that_any_terminal_can_show(message, expected):
    assert str(InputError(message)) == expected


def test_a_long_message_keeps_its_beginning_and_its_end():
    message = str(InputError("config: models is " + "x" * 10**6 + ": correct it"))
    assert message.startswith("config: models is xx")
    assert message.endswith("xx: correct it")
    assert len(message) < LONGEST + 10


def test_what_the_system_refused_is_said_with_its_path():
    full = OSError(errno.ENOSPC, "No space left on device", "results/a.parquet")
    assert str(from_system(full)).startswith("results/a.parquet: No space left on device: ")
    assert str(from_system(OSError("odd"))).startswith("odd: ")
