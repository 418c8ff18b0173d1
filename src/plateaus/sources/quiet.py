"""Libraries that print progress bars and advice while loading, kept silent; real warnings stay warnings."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
    "TQDM_DISABLE": "1",
}
"""The environment in which the stages run: nothing asks a hub, and no library draws bars of its own."""


def go_offline() -> None:
    """Set `OFFLINE`; to be called before transformers is imported."""
    os.environ.update(OFFLINE)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No progress bars and no advice from transformers and TransformerLens inside the block."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        logging.root.setLevel(level)
