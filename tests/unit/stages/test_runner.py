"""What a stage says when it fails: one line on the terminal, and the whole story in its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from plateaus.errors import InputError
from plateaus.stages.job import Job
from plateaus.stages.runner import Log, run


def failing(error: BaseException) -> Callable[[Job], None]:
    def body(job: Job) -> None:
        raise error

    return body


@pytest.fixture
def said(tmp_path: Path, monkeypatch, capsys) -> Callable[..., str]:
    """Run a stage that fails with an error, on a model with a card, and return the one line that it prints."""

    def call(error: BaseException, *arguments: str) -> str:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "card.json").write_text(json.dumps({"architecture": "LlamaForCausalLM"}))
        job = arguments or ("--model", "tiny", "--shard", "s0-of-2", "--model-folder", str(tmp_path / "model"))
        monkeypatch.setattr("sys.argv", ["sharpness", "--root", str(tmp_path), "--slice", "{}", *job])
        with pytest.raises(SystemExit) as ended:
            run("sharpness", failing(error))
        assert ended.value.code == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return line

    return call


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AttributeError("'NoneType' object has no attribute 'shape'"), ""),
        (KeyError("ln1"), ""),
        (TypeError("unsupported operand"), ""),
        (ValueError("the table extract has 3 rows\n   instead of 4"), " (the table extract has 3 rows instead of 4)"),
        (RuntimeError("torch.OutOfMemoryError: CUDA out of memory"), " (CUDA out of memory)"),
        (RuntimeError(), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_that_was_not_foreseen_is_to_be_reported(said, tmp_path: Path, error, told):
    log = tmp_path / "logs" / "tiny" / "sharpness" / "s0-of-2.log"
    assert said(error) == (
        "error: sharpness tiny s0-of-2 failed in a way that was not foreseen, on a model of the architecture "
        f"LlamaForCausalLM{told}: please report this line together with the log, which has the traceback: {log}"
    )
    written = log.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in written
    assert type(error).__name__ in written


def test_a_job_of_no_model_names_none(said, tmp_path: Path):
    log = tmp_path / "logs" / "all" / "sharpness" / "all.log"
    assert said(IndexError("list index out of range"), "--threads", "1") == (
        "error: sharpness failed in a way that was not foreseen: please report this line together with the log, which has "
        f"the traceback: {log}"
    )


def test_an_input_error_is_said_as_it_is(said):
    assert said(InputError("model tiny: wrong: mend it")) == "error: model tiny: wrong: mend it"


class OfLibrary(Exception):
    """An error of a library, which is neither an OSError nor tells where."""


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), OfLibrary("I/O error: No space left on device (os error 28)")],
)
def test_a_full_disk_is_said_in_one_line_even_if_the_log_is_on_it(said, monkeypatch, tmp_path: Path, error):
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    def full_log(log: Log, path: Path) -> None:
        log.name, log.file = str(path), Full()

    monkeypatch.setattr(Log, "__init__", full_log)
    assert said(error) == (
        f"error: sharpness tiny: No space left on device ({tmp_path}): make room or check permissions, then run again"
    )


def test_a_log_that_cannot_be_made_is_said_in_one_line(said, monkeypatch):
    def refused(log: Log, path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Log, "__init__", refused)
    line = said(ValueError())
    assert line.startswith("error: sharpness: Read-only file system (")
    assert line.endswith("s0-of-2.log): make room or check permissions, then run again")
