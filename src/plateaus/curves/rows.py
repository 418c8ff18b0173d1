"""The rows of the tables of curves, made column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from plateaus.curves.geometry import Measures

Columns = dict[str, np.ndarray]
"""Column name to values, all of one length."""


def curve_columns(measures: Measures, alphas: Tensor, layer: int, site: str, record_layer: int) -> Columns:
    """The rows of one curve, as every table of curves has them."""
    steps = len(alphas)
    return {
        "interp_layer": np.full(steps, layer),
        "site": np.full(steps, site),
        "record_layer": np.full(steps, record_layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        **{name: values.float().cpu().numpy() for name, values in measures._asdict().items()},
    }


def stack(parts: list[Columns]) -> Columns:
    """The rows of several parts, one below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def with_pair(columns: Columns, pair: str) -> Columns:
    """The same rows with the pair's id as a column."""
    return {"pair": np.full(len(next(iter(columns.values()))), pair), **columns}


def curve_rows(pairs: int, steps: int, layers: Sequence[int], n_layers: int) -> int:
    """Rows of the full grid: per interpolation layer, every layer from it on and the logits."""
    return pairs * steps * sum(n_layers - layer + 1 for layer in layers)
