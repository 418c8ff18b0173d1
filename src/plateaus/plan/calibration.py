"""Constants of the cost model, measured on real runs; `python -m plateaus.plan --check` compares them with yours.

Measured on 2 cores of two machines, both AMD EPYC (67 and 35 GFLOP/s per core in float32), on the default config
(SmolLM2-135M and the same with random weights), on random models in the shapes of GPT-2 small, medium and large and of
OPT-125M (50 steps, the post's two pairs in one shard), and on 40 pairs in one shard of GPT-2 small (30 steps).
"""

from __future__ import annotations

from typing import NamedTuple

# ---- memory, with the allocator that `plateaus.run.job_environment` asks for, which keeps what is freed
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
CURVE_ROW_READ = 10
"""Bytes of a row of the curves' tables as sharpness reads it, a pair at a time."""
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
NODES_AT_MOST = 30
"""Nodes of a path in its last layers, where its matrices take the most room (see `plateaus.mechanism.nodes`)."""

# ---- disk: zstd at level 3, as `plateaus.data.tables.write_table` has it
VECTOR_ON_DISK = 0.93
"""Bytes on disk per byte of a recorded vector: float32 hardly compresses."""
DICTIONARY_VALUES, DICTIONARY_INDEX = 2**18, 1.9
"""How many values of a vector column Parquet puts into a dictionary, in vain, and the bytes of an index into it."""
CODE_ON_DISK = 0.064
"""The same of spline codes, which hardly change from step to step."""
FILE_BYTES = 2600
"""A Parquet file without rows."""
JACOBIAN_FILE_BYTES = 30e3
"""The same where a dozen columns of numbers each begin with a dictionary."""
ROW_BYTES = {
    "interpolate": 36.3,
    "freeze": 32.3,
    "jacobian": 8.6,
    "spline": 9.4,
    "tokens": 5.0,
    "neurons": 4.0,
    "sharpness": 31.0,
}
"""Without vectors and codes."""
OTHER_ROW = 8.0

# ---- time, as seconds of processor time over threads
EFFICIENCY = {"extract": 0.15, "interpolate": 0.62, "freeze": 0.68, "jacobian": 0.72, "spline": 0.7}
"""Share of the measured matrix speed that a stage's operations run at: short prompts read every weight for a few
rows, a sweep's rows come in hundreds, and the Jacobians are large products."""
START_SECONDS = 6.0
"""Imports and tokenizer, of a job that loads a model."""
SHARPNESS_SECONDS = 1.5
"""A job of sharpness, which loads none."""
SHARPNESS_BYTES = 0.28e9
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
    "embedded": Fetching(0.5e9, 1.4, 6, 22),  # dequantises
    "random": Fetching(0.5e9, 1.1, 6, 8),
    "local": Fetching(0.3e9, 0, 4, 2),  # links, and hashes what it has linked
    "hub": Fetching(0.3e9, 0, 4, 2),  # the same after the download, whose time is the network's
}
TOKENIZER_BYTES = 3.5e6


class Needs(NamedTuple):
    """What something takes.

    Attributes:
        memory: At its peak, bytes.
        seconds: Time.
        disk: Bytes.
    """

    memory: float
    seconds: float
    disk: float

    def times(self, count: int) -> Needs:
        """The needs of so many of it."""
        return Needs(*(count * value for value in self))

    def plus(self, other: Needs) -> Needs:
        """The needs of both."""
        return Needs(*map(sum, zip(self, other, strict=True)))


class Light(NamedTuple):
    """What a stage over all models takes; it loads none of them.

    Attributes:
        start: Without any model.
        model: More for each model: its figures, or its part of the page.
        suite: More where there is a prompt suite, so that claims are tested and shown.
        pair: More for each model and pair where there is one.
    """

    start: Needs
    model: Needs
    suite: Needs
    pair: Needs

    def needs(self, models: int, pairs: int) -> Needs:
        """What it takes.

        Args:
            models: How many.
            pairs: How many where the run has a prompt suite, otherwise 0.
        """
        needs = self.start.plus(self.model.times(models))
        return needs.plus(self.suite).plus(self.pair.times(models * pairs)) if pairs else needs


NOTHING = Needs(0, 0, 0)
LIGHT = {
    "claims": Light(Needs(0.28e9, 1, 5.5e3), Needs(0, 0.2, 0.8e3), Needs(0, 0, 1.5e3), Needs(0.65e6, 0.02, 53)),
    "figures": Light(Needs(0.30e9, 2, 0.3e6), Needs(0, 9, 2.2e6), Needs(0, 0, 3.5e6), Needs(0.45e6, 0, 0)),
    "report": Light(Needs(0.43e9, 4, 0.3e6), Needs(0, 4, 1.5e6), Needs(0, 0, 2.8e6), NOTHING),
}
"""The seconds of the figures are with two processes."""
