"""Constants of the cost model, measured once on real runs; `python -m plateaus.plan --check` compares them with yours."""

from __future__ import annotations

from typing import NamedTuple


class Loading(NamedTuple):
    """Memory of a model in multiples of its float32 weights: at most while it loads, and once it is there."""

    loading: float
    resident: float


# ---- memory
BASE_BYTES = 0.45e9
MODEL_PLAIN = Loading(1.0, 1.0)
MODEL_CENTRED = Loading(1.0, 1.0)
ROW_IN_MEMORY = 600
VECTOR_IN_MEMORY = 3.0
LOGITS_COPIES = 5
STATE_COPIES = 6
CHUNK_USED = 0.5
TRACE_COPIES = 4
MATRIX_USED = 1.0

# ---- disk
VECTOR_ON_DISK = 1.0
CODE_ON_DISK = 1.0
FILE_BYTES = 2000
ROW_BYTES: dict[str, float] = {}
OTHER_ROW = 20

# ---- time
EFFICIENCY = {"extract": 0.5, "interpolate": 0.5, "freeze": 0.5, "jacobian": 0.5, "spline": 0.5}
"""Share of the measured matrix speed that a stage's operations run at."""
START_SECONDS = 7.0
"""Imports, per job that loads a model."""
LOAD_SECONDS_PER_GB = 2.0
ROW_SECONDS = 2e-5
"""Per row of a table: measuring, building, checking, writing."""


class Fetching(NamedTuple):
    """What making a model folder takes."""

    base_bytes: float
    bytes_per_model_byte: float
    seconds: float
    seconds_per_gb: float


FETCH = {
    "embedded": Fetching(0.5e9, 1.4, 10, 40),
    "random": Fetching(0.5e9, 1.1, 6, 8),
    "local": Fetching(0.1e9, 0, 1, 2),
    "hub": Fetching(0.1e9, 0, 1, 2),
}
TOKENIZER_BYTES = 4e6


def light(stage: str, models: int, pairs: int, lines: object) -> tuple[float, float, float]:
    """Memory, disk and seconds of a stage that loads no model."""
    return (0.3e9, 10e6 * models, 12.0 * models) if stage == "figures" else (0.5e9, 10e6 * models, 10 + 10 * models)
