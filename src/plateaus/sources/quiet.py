"""Keep libraries offline, and silence the progress bars, advice and warnings that they print while loading."""

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
"""Environment variables under which no library contacts a hub or draws progress bars of its own."""


def go_offline() -> None:
    """Set the variables of `OFFLINE`. Call this before transformers is imported."""
    os.environ.update(OFFLINE)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence progress bars, advice and warnings of transformers and TransformerLens inside the block."""
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
