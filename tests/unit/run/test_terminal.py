"""Of a failed job the terminal has the job's own line; what nothing else tells stays."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest

from plateaus.run import terminal

COMMAND = "RuleException:\nCalledProcessError in file rules.smk, line 28:\nCommand 'exec python' "


@pytest.mark.parametrize(
    ("message", "exception", "printed"),
    [
        (COMMAND + "returned non-zero exit status 1.", "RuleException", False),
        ("WorkflowError:\nAt least one job did not complete successfully.", "WorkflowError", False),
        (COMMAND + "returned non-zero exit status 137.", "RuleException", True),
        (COMMAND + "died with <Signals.SIGKILL: 9>.", "RuleException", True),
        ("the command returned non-zero exit status 1.", None, True),
    ],
)
def test_a_job_that_ended_with_an_error_is_not_told_twice(message, exception, printed, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(terminal, "SNAKEMAKE", f"tests.{tmp_path.name}")
    logger, stream = logging.getLogger(terminal.SNAKEMAKE), io.StringIO()
    logger.propagate = False
    file = logging.FileHandler(tmp_path / "log")
    logger.addHandler(logging.StreamHandler(stream))
    logger.addHandler(file)
    terminal.only_say_once()
    logger.error(message, extra={} if exception is None else {"exception": exception})
    file.close()
    assert (message in stream.getvalue()) is printed
    assert message in (tmp_path / "log").read_text(encoding="utf-8")


def test_snakemake_still_prints_through_that_logger():
    from snakemake.logging import logger

    assert logger.name == terminal.SNAKEMAKE
