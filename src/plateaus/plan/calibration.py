"""Constants of the cost model, measured on real runs; `python -m plateaus.plan --check` compares them with yours.

Measured on 2 cores of an AMD EPYC (67 GFLOP/s per core in float32) on the default config (SmolLM2-135M and the same
with random weights), on random models in the shapes of GPT-2 small, medium and large and of OPT-125M (50 steps, the
post's two pairs in one shard), and on 40 pairs in one shard of GPT-2 small (30 steps).
"""

from __future__ import annotations

from typing import NamedTuple

# ---- memory, with the allocator that `plateaus.job_environment` asks for, which keeps what is freed
BASE_BYTES = 0.60e9
"""Python, torch, transformers and TransformerLens, pyarrow, and a loaded tokenizer, before any weight is touched."""
EMBEDDINGS_LEFT = {"LayerNorm": 1.3, "RMSNorm": 0.0}
"""Copies of the embedding matrix that loading leaves in the heap (GPT-2, OPT; Llama)."""
CONVERTED = 0.7
"""Share of a file in another type than float32 that is in memory beside the model while that is made from it."""
CENTRED_EMBEDDINGS, CENTRED_BLOCKS = 4.1, 1.33
"""Copies of the embedding matrix and of the blocks' weights that are made to centre a model."""
ROW_IN_MEMORY = 500
"""Bytes of one row of a table: NumPy columns, their concatenation, the Arrow table and its sorted copy."""
CURVE_ROW_READ = 100
"""Bytes of a row of the curves' tables as sharpness reads it."""
VECTOR_IN_MEMORY = 3.0
"""Copies of a recorded vector: as recorded, stacked, and in the Arrow table."""
LOGITS_COPIES = 6
STATE_COPIES = 6
CHUNK_USED = 0.7
"""Share of a chunk's budget that is used: `bytes_per_row` has a margin."""
PUSH_USED = 0.25
"""The same where directions are pushed through attention alone."""
TRACE_COPIES = 4
"""Copies of the traced vectors: three are kept (before, read, after), and one is there while they are read."""
MATRIX_USED = 1.0
"""Share of the budget for whole Jacobian matrices that is used."""

# ---- disk: zstd at level 3, as `plateaus.tables.write_table` has it
VECTOR_ON_DISK = 0.93
"""Bytes on disk per byte of a recorded vector: float32 hardly compresses."""
DICTIONARY_VALUES, DICTIONARY_INDEX = 2**18, 1.9
"""How many values of a vector column Parquet puts into a dictionary, in vain, and the bytes of an index into it."""
CODE_ON_DISK = 0.08
"""The same of spline codes, which hardly change from step to step."""
FILE_BYTES = 2600
"""A Parquet file without rows."""
ROW_BYTES = {
    "interpolate": 36.3,
    "freeze": 32.3,
    "jacobian": 11.0,
    "spline": 11.7,
    "tokens": 5.0,
    "neurons": 4.0,
    "sharpness": 31.0,
}
"""Without vectors and codes."""
OTHER_ROW = 8.0

# ---- time, as seconds of processor time over threads
EFFICIENCY = {"extract": 0.12, "interpolate": 0.6, "freeze": 0.55, "jacobian": 0.85, "spline": 0.7}
"""Share of the measured matrix speed that a stage's operations run at: short prompts read every weight for a few
rows, a sweep's rows come in hundreds, and the Jacobians are large products."""
START_SECONDS = 8.0
"""Imports and tokenizer, of a job that loads a model."""
SHARPNESS_SECONDS = 1.5
"""A job of sharpness, which loads none."""
SHARPNESS_BYTES = 0.3e9
"""Its memory without rows; a job's record starts at what the process that started it holds."""
LOAD_SECONDS_PER_GB = 3.0
ROW_SECONDS = 2e-5
"""Per row of a table: measuring, building, checking, writing."""


class Fetching(NamedTuple):
    """What making a model folder takes, by `source`.

    Attributes:
        base_bytes: Memory without the model.
        bytes_per_model_byte: Memory per byte of the model in float32.
        seconds: Without the model.
        seconds_per_gb: Per GB of it.
    """

    base_bytes: float
    bytes_per_model_byte: float
    seconds: float
    seconds_per_gb: float


FETCH = {
    "embedded": Fetching(0.5e9, 1.4, 10, 40),  # dequantises
    "random": Fetching(0.5e9, 1.1, 6, 8),
    "local": Fetching(0.3e9, 0, 4, 2),  # links, and hashes what it has linked
    "hub": Fetching(0.3e9, 0, 4, 2),  # the same after the download, whose time is the network's
}
TOKENIZER_BYTES = 3.5e6


class Light(NamedTuple):
    """What a stage over all models takes; it loads none of them.

    Attributes:
        memory: Peak, bytes.
        seconds: Start-up.
        disk: Bytes without any model.
        seconds_per_model: Each model's figures or part of the page.
        disk_per_model: Likewise.
    """

    memory: float
    seconds: float
    disk: float
    seconds_per_model: float
    disk_per_model: float


LIGHT = {
    "claims": Light(0.35e9, 5, 0.05e6, 3, 0.05e6),
    "figures": Light(0.29e9, 3, 0.1e6, 10, 3.2e6),
    "report": Light(0.45e9, 10, 0.3e6, 9, 2.3e6),
}
