"""The declarations of the tables between stages: columns, types and keys. They are the contract between the stages.

Tables are in long format, with one row per value of the key. Measures are float32, vectors fixed_size_list<float32>,
and repeated strings are dictionary-encoded. Columns may be added later; the names of these columns will not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

INDEX = pa.int16()
MEASURE = pa.float32()
WORD = pa.dictionary(pa.int32(), pa.string())
VECTOR = "vector"
"""Type of a column of fixed_size_list<float32>. Its length depends on the model, so it is not declared here."""


class Table(NamedTuple):
    """The declaration of one table.

    Attributes:
        name: Name of the table, used in file names and written into the metadata.
        version: Version of the table, raised when the meaning of a column changes.
        stage: The stage that writes the table.
        key: Columns that identify a row. The file is sorted by them, and no two rows have the same key.
        columns: Column name to Arrow type, or `VECTOR`.
        optional: Columns that may hold nulls (for example the step size at the last step).
    """

    name: str
    version: int
    stage: str
    key: tuple[str, ...]
    columns: Mapping[str, Any]
    optional: frozenset[str] = frozenset()

    @property
    def sharded(self) -> bool:
        """Whether there is one file for each shard of the pairs, and not one for all of them."""
        return "pair" in self.key and self.stage not in ("robustness", "claims")


CURVE_COLUMNS: dict[str, Any] = {
    "interp_layer": INDEX,
    "site": WORD,
    "record_layer": INDEX,
    "step": INDEX,
    "alpha": MEASURE,
    "distance": MEASURE,
    "distance_a": MEASURE,
    "distance_b": MEASURE,
    "step_size": MEASURE,
    "norm": MEASURE,
    "projection": MEASURE,
    "detour": MEASURE,
}
CURVE_KEY = ("interp_layer", "site", "record_layer", "step")

SELFCHECK = Table(
    "selfcheck",
    1,
    "selfcheck",
    ("layer", "quantity"),
    {"layer": INDEX, "quantity": WORD, "error": MEASURE, "tolerance": MEASURE},
)
QUANTITIES = {
    "prompt": "resid_post of whole prompts",
    "resid_post": "resid_post after the prefix",
    "sum": "resid_pre + attention + MLP = resid_post",
    "mlp": "output of the MLP",
    "attn_jvp": "J v of attention",
    "mlp_jvp": "J v of the MLP",
    "block_jvp": "J v of the block",
    "frobenius": "norms of whole Jacobians",
    "held": "resid_post with components held still",
    "codes": "spline codes",
    "logits": "logits at both ends of the path",
    "causal": "what the prefix sees of the last token",
}
"""The quantities of the table `selfcheck`, and what each is called on the page."""
EXTRACT = Table(
    "extract",
    1,
    "extract",
    ("pair", "end", "layer"),
    {"pair": WORD, "end": WORD, "layer": INDEX, "norm": MEASURE, "vector": VECTOR},
)
ENDPOINTS = Table(
    "endpoints",
    1,
    "extract",
    ("pair",),
    {
        "pair": WORD,
        "context": pa.string(),
        "a": pa.string(),
        "b": pa.string(),
        "tags": pa.string(),
        "separator": pa.string(),
        "token_a": pa.int32(),
        "token_b": pa.int32(),
        "prefix_length": INDEX,
        "log_p_a": MEASURE,
        "log_p_b": MEASURE,
        "jsd": MEASURE,
        "angle": MEASURE,
        "norm_ratio": MEASURE,
    },
    optional=frozenset({"log_p_a", "log_p_b"}),
)
INTERPOLATE = Table(
    "interpolate",
    1,
    "interpolate",
    ("pair", *CURVE_KEY),
    {"pair": WORD, **CURVE_COLUMNS},
    optional=frozenset({"step_size"}),
)
FREEZE = Table(
    "freeze",
    1,
    "freeze",
    ("pair", "condition", *CURVE_KEY),
    {"pair": WORD, "condition": WORD, **CURVE_COLUMNS},
    optional=frozenset({"step_size"}),
)
ENDPOINT_CHECK = Table(
    "endpoint_check",
    1,
    "interpolate",
    ("pair", "interp_layer", "end"),
    {"pair": WORD, "interp_layer": INDEX, "end": WORD, "logit_error": MEASURE},
)
TRACE = Table(
    "trace",
    1,
    "interpolate",
    ("pair", "layer", "step"),
    {
        "pair": WORD,
        "layer": INDEX,
        "step": INDEX,
        "alpha": MEASURE,
        "mlp_input": VECTOR,
        "resid_post": VECTOR,
    },
)
TOKENS = Table(
    "tokens",
    1,
    "interpolate",
    ("pair", "token_id", "step"),
    {
        "pair": WORD,
        "token_id": pa.int32(),
        "step": INDEX,
        "alpha": MEASURE,
        "token": WORD,
        "probability": MEASURE,
    },
)
JACOBIAN = Table(
    "jacobian",
    1,
    "jacobian",
    ("pair", "component", "layer", "step"),
    {
        "pair": WORD,
        "component": WORD,
        "layer": INDEX,
        "step": INDEX,
        "alpha": MEASURE,
        "frobenius": MEASURE,
        "frobenius_error": MEASURE,
        "gain": MEASURE,
    },
    optional=frozenset({"frobenius", "frobenius_error"}),
)
SPLINE = Table(
    "spline",
    1,
    "spline",
    ("pair", "layer", "step"),
    {
        "pair": WORD,
        "layer": INDEX,
        "step": INDEX,
        "alpha": MEASURE,
        "hamming": pa.int32(),
        "input_step": MEASURE,
        "density": MEASURE,
    },
)
CODES = Table(
    "codes",
    1,
    "spline",
    ("pair", "layer", "step"),
    {"pair": WORD, "layer": INDEX, "step": INDEX, "code": pa.binary()},
)
NEURONS = Table(
    "neurons",
    1,
    "spline",
    ("pair", "layer", "step", "rank"),
    {
        "pair": WORD,
        "layer": INDEX,
        "step": INDEX,
        "rank": INDEX,
        "neuron": pa.int32(),
        "active": pa.bool_(),
        "contribution": MEASURE,
        "switch": MEASURE,
    },
)
SHARPNESS = Table(
    "sharpness",
    1,
    "sharpness",
    ("pair", "stage", "condition", "interp_layer", "site", "record_layer"),
    {
        "pair": WORD,
        "stage": WORD,
        "condition": WORD,
        "interp_layer": INDEX,
        "site": WORD,
        "record_layer": INDEX,
        "w": MEASURE,
        "midpoint": MEASURE,
        "plateau_width": MEASURE,
        "rest_a": MEASURE,
        "rest_b": MEASURE,
        "max_slope": MEASURE,
        "departure": MEASURE,
        "w_path": MEASURE,
        "strength": MEASURE,
        "detour": MEASURE,
        "plateau": pa.bool_(),
        "half_plateau": pa.bool_(),
    },
)
"""One row per curve of `interpolate` (condition none) and `freeze`. `plateaus.curves.sharpness` defines the measures.
`w_path` is w of the path itself, recorded at the interpolation layer; `detour` is the largest detour over the steps."""
MAP = Table(
    "map",
    1,
    "map",
    ("triple", "side", "point"),
    {
        "triple": WORD,
        "side": INDEX,
        "point": INDEX,
        "x": MEASURE,
        "y": MEASURE,
        "next_token_a": MEASURE,
        "next_token_b": MEASURE,
        "next_token_c": MEASURE,
        "logits_a": MEASURE,
        "logits_b": MEASURE,
        "logits_c": MEASURE,
        "token_id": pa.int32(),
        "token": WORD,
        "probability": MEASURE,
    },
)
"""One row per point of each map (`plateaus.curves.plane`), which has `side` points along each side. The distances to
the three corners are divided by the mean distance between the corners; `token` is the likeliest next token."""
TRIPLES = Table(
    "triples",
    1,
    "map",
    ("triple", "side"),
    {
        "triple": WORD,
        "side": INDEX,
        "context": WORD,
        "a": WORD,
        "b": WORD,
        "c": WORD,
        "ab": MEASURE,
        "bc": MEASURE,
        "ca": MEASURE,
    },
)
"""One row per map: its words, and the distances between the three activations."""
ROBUSTNESS = Table(
    "robustness",
    1,
    "robustness",
    ("pair", "variant", "site"),
    {
        "pair": WORD,
        "variant": WORD,
        "site": WORD,
        "w": MEASURE,
        "w_path": MEASURE,
        "strength": MEASURE,
        "midpoint": MEASURE,
    },
)
"""One row per pair, variant and yardstick (`site`, logits or next_token). `VARIANTS` lists the variants."""
VARIANTS = (
    "as in the run",
    "linear path",
    "spherical path",
    "half the steps",
    "twice the steps",
    "path at the embedding",
    "path at layer 0",
    "path at layer 1",
    "path at layer 2",
    "words swapped",
    "with begin-of-sequence token",
    "without begin-of-sequence token",
    "weights rounded to bfloat16",
)
"""The variants of the table `robustness` in the order in which they are shown. Each changes one thing from the run's
own setting, which is the first; a run has only one of both kinds of path, and one of both ways to begin a prompt."""
CLAIMS = Table(
    "claims",
    1,
    "claims",
    ("model", "claim", "measure"),
    {
        "model": WORD,
        "claim": WORD,
        "measure": pa.string(),
        "primary": pa.bool_(),
        "estimate": MEASURE,
        "ci_low": MEASURE,
        "ci_high": MEASURE,
        "effect_size": MEASURE,
        "p": MEASURE,
        "p_adjusted": MEASURE,
        "n": pa.int32(),
        "verdict": WORD,
        "reason": pa.string(),
        "sentence": pa.string(),
    },
    optional=frozenset({"estimate", "ci_low", "ci_high", "effect_size", "p", "p_adjusted"}),
)
"""One row per measure of a claim on a model. Only the primary measure has a verdict and p values."""
CLAIM_VALUES = Table(
    "claim_values",
    1,
    "claims",
    ("model", "claim", "pair"),
    {"model": WORD, "claim": WORD, "pair": WORD, "value": MEASURE, "x": MEASURE, "pooled": pa.bool_()},
    optional=frozenset({"x"}),
)
"""The primary measure of each pair. `x` is the quantity that it is related to, for claims about a relation."""
FIGURES = Table(
    "figures",
    2,
    "figures",
    ("figure", "model"),
    {
        "figure": WORD,
        "model": WORD,
        "drawn": pa.bool_(),
        "whole": pa.bool_(),
        "reason": pa.string(),
        "caption": pa.string(),
        "alt": pa.string(),
        "tables": pa.string(),
    },
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        SELFCHECK, EXTRACT, ENDPOINTS, INTERPOLATE, ENDPOINT_CHECK, TRACE, TOKENS, FREEZE,
        JACOBIAN, SPLINE, CODES, NEURONS, SHARPNESS, MAP, TRIPLES, ROBUSTNESS, CLAIMS, CLAIM_VALUES, FIGURES,
    )
}  # fmt: skip
