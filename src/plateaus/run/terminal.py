"""Leave out of the terminal what Snakemake says about a failed job, once the job itself has said why in one line."""

from __future__ import annotations

import logging

SNAKEMAKE = "snakemake.logging"
"""Name of the logger through which Snakemake prints."""
REPEATED = ("returned non-zero exit status 1.", "At least one job did not complete successfully.")
"""Endings of messages that add nothing: a job that ends with 1 has printed its error, and the Snakefile's last line
says that the run stopped. A job that was killed has another status, and of that nothing else tells."""


def only_say_once() -> None:
    """Drop these messages from Snakemake's output to the terminal; its log file in .snakemake/log keeps them."""
    for handler in logging.getLogger(SNAKEMAKE).handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(_adds_something)


def _adds_something(record: logging.LogRecord) -> bool:
    return not (hasattr(record, "exception") and record.getMessage().rstrip().endswith(REPEATED))
