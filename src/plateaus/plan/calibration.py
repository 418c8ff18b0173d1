"""Constants of the cost model, measured on real runs; `python -m plateaus.plan --check` compares them with yours.

Memory and disk were measured with 2 cores on each of two AMD EPYC machines. The runs were the default config
(SmolLM2-135M, and the same model with random weights), random models with the shapes of GPT-2 small, medium and large
and of OPT-125M (50 steps, the post's two pairs in one shard), and GPT-2 small with 40 pairs in one shard (30 steps).
Times were measured with the default config on a third machine (211 GFLOP/s per core in float32, with AVX-512).
"""

from __future__ import annotations

from typing import NamedTuple

# ---- memory, with the allocator settings of `plateaus.run.job_environment`, which keep freed memory for reuse
BASE_BYTES = 0.49e9
"""Python, torch, transformers, TransformerLens and pyarrow, before any weight is read."""
TOKEN_BYTES = 2300
"""Memory of a loaded tokenizer per token of its vocabulary (measured on vocabularies of 49,152 and 262,144 tokens)."""
EMBEDDINGS_LEFT = {"LayerNorm": 1.3, "RMSNorm": 0.0}
"""Copies of the embedding matrix that loading leaves on the heap (measured on GPT-2 and OPT, and on Llama)."""
CONVERTED = 0.7
"""Share of a weights file that is in memory beside the model during conversion, if the file is not in float32."""
CENTRED_EMBEDDINGS, CENTRED_BLOCKS = 4.1, 1.33
"""Copies of the embedding matrix, and of the blocks' weights, that centring a model makes."""
ROW_IN_MEMORY = 350
"""Bytes of one table row in memory: columns, their concatenation, the table and its sorted copy."""
CURVE_ROW_READ = 10
"""Bytes of one row of the curve tables in the sharpness stage, which reads one pair at a time."""
VECTOR_IN_MEMORY = 1.1
"""Copies of a recorded vector: one, in the array from which the table is written, and what is left behind."""
LOGITS_COPIES = 6  # of one path's logits, while they are measured
COORDINATES_COPIES = 4  # of the coordinates of the logits of several paths, while they are measured
ROOT_COPIES = 4  # of the square root behind the coordinates, while it is computed
ROOT_BYTES = 1.3e8
"""Memory for the part of the unembedding from which this square root is computed at a time, with its copy."""
STATE_COPIES = 6  # of the rows of a sweep
CHUNK_USED = 0.7
"""Share of a chunk's memory budget that is really used, because `bytes_per_row` includes a margin."""
PUSH_USED = 0.25
"""The same share when directions are pushed through attention alone."""
TRACE_COPIES = 3.2
"""Copies of one kind of traced vectors in memory: two are kept (what the MLP reads, and the residual stream), and
reading them leaves some memory behind."""
NODES_AT_MOST = 30
"""Nodes of a path in the last layers, where its matrices need the most memory (see `plateaus.mechanism.nodes`)."""

# ---- disk: zstd at level 3, as in `plateaus.data.tables.write_table`
VECTOR_ON_DISK = 0.93
"""Bytes on disk per byte of a recorded vector; float32 values hardly compress."""
CODE_ON_DISK = 0.064
"""Bytes on disk per byte of a spline code; codes hardly change from step to step."""
FILE_BYTES = 2600
"""Bytes of a Parquet file without rows."""
JACOBIAN_FILE_BYTES = 30e3
"""Bytes of the jacobian table without rows: each of its dozen numeric columns begins with a dictionary."""
ROW_BYTES = {
    "interpolate": 36.3,
    "freeze": 32.3,
    "jacobian": 8.6,
    "spline": 9.4,
    "tokens": 5.0,
    "neurons": 4.0,
    "sharpness": 31.0,
    "robustness": 18.0,
}
"""Bytes on disk of one row of each table, without its vectors and codes."""
OTHER_ROW = 8.0
MAP_ROW_BYTES = 30.0
"""Bytes on disk of one point of a map."""

# ---- time: seconds of processor time divided by the number of threads
EFFICIENCY = {
    "extract": 0.45,
    "interpolate": 0.46,
    "freeze": 0.5,
    "jacobian": 0.55,
    "spline": 0.7,
    "map": 0.4,
    "robustness": 0.4,
}
"""Share of the measured matrix speed that each stage reaches; the rest of its time is elementwise work and hooks."""
SELFCHECK_BYTES = 2e4
"""Size of the table of a model's check on disk."""
START_SECONDS = 2.2
"""Time for the tokenizer and the trials in a job that loads a model, and that shares its imports with other jobs."""
SHARPNESS_SECONDS = 0.4
"""Start-up time of a sharpness job, which loads no model."""
SHARPNESS_BYTES = 0.28e9
"""Memory of a sharpness job without rows; its recorded peak includes memory of the process that started it."""
LOAD_SECONDS_PER_GB = 1.2
ROW_SECONDS = 1e-5
"""Time per table row for measuring, building, checking and writing it."""


class Fetching(NamedTuple):
    """Memory and time of making a model folder from one kind of `source`.

    Attributes:
        base_bytes: Memory that does not depend on the model, bytes.
        bytes_per_model_byte: Memory per byte of the model in float32.
        seconds: Time that does not depend on the model.
        seconds_per_gb: Seconds per GB of the model in float32.
        embeddings: Copies of the embedding matrix in float32 that are in memory besides.
    """

    base_bytes: float
    bytes_per_model_byte: float
    seconds: float
    seconds_per_gb: float
    embeddings: float = 0.0


FETCH = {
    "embedded": Fetching(0.34e9, 1.4, 1, 18, 1.4),  # dequantises; the GGUF reader keeps objects for every token
    "random": Fetching(0.38e9, 1.0, 1, 5, 1.0),  # the unembedding has memory of its own until it is tied
    "local": Fetching(0.3e9, 0, 4, 2),  # makes links to the files and hashes them
    "hub": Fetching(0.3e9, 0, 4, 2),  # the same after the download, whose time depends on the network
}
TOKENIZER_BYTES = 3.5e6


class Needs(NamedTuple):
    """Memory, time and disk that a job needs.

    Attributes:
        memory: Peak memory, bytes.
        seconds: Time, seconds.
        disk: Disk space, bytes.
    """

    memory: float
    seconds: float
    disk: float

    def times(self, count: int) -> Needs:
        """Return these needs multiplied by `count`."""
        return Needs(*(count * value for value in self))

    def plus(self, other: Needs) -> Needs:
        """Return the sum of these needs and the other ones."""
        return Needs(*map(sum, zip(self, other, strict=True)))


class Light(NamedTuple):
    """Needs of a stage that covers all models and loads none of them.

    Attributes:
        start: Needs that do not depend on the models.
        model: Additional needs per model, for its figures or its part of the page.
        suite: Additional needs if the run has a prompt suite, so that claims are tested and shown.
        pair: Additional needs per model and pair if the run has a prompt suite.
    """

    start: Needs
    model: Needs
    suite: Needs
    pair: Needs

    def needs(self, models: int, pairs: int) -> Needs:
        """Return the needs of the stage for a run.

        Args:
            models: Number of models.
            pairs: Number of pairs if the run has a prompt suite, otherwise 0.
        """
        needs = self.start.plus(self.model.times(models))
        return needs.plus(self.suite).plus(self.pair.times(models * pairs)) if pairs else needs


NOTHING = Needs(0, 0, 0)
LIGHT = {
    "claims": Light(Needs(0.28e9, 0.4, 5.5e3), Needs(0, 0.1, 0.8e3), Needs(0, 0, 1.5e3), Needs(0.4e6, 0.002, 53)),
    "figures": Light(Needs(0.23e9, 2.5, 0.5e6), Needs(0, 2.7, 2.2e6), Needs(0, 0, 3.5e6), Needs(0.45e6, 0, 0)),
    "report": Light(Needs(0.50e9, 4.5, 1.0e6), Needs(0, 1.1, 1.9e6), Needs(0, 0, 2.8e6), NOTHING),
}
"""Needs of the stages that load no model; the time of the figures was measured with two processes."""
