"""The rows of the tables of curves, built column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from plateaus.curves.geometry import Measures

Columns = dict[str, np.ndarray]
"""Column name to values; all columns have the same length."""


def curve_columns(measures: Measures, alphas: Tensor, layer: int, site: str, record_layer: int) -> Columns:
    """Return the rows of one curve, with the columns that every table of curves has.

    Args:
        measures: Measures of the curve, each of shape (steps,).
        alphas: (steps,), interpolation parameters.
        layer: The interpolation layer.
        site: ``resid_post`` or ``logits``.
        record_layer: The layer at which the curve was recorded; the number of layers for the logits.
    """
    steps = len(alphas)
    return {
        "interp_layer": np.full(steps, layer),
        "site": words(steps, site),
        "record_layer": np.full(steps, record_layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        **{name: values.float().cpu().numpy() for name, values in measures._asdict().items()},
    }


def stack(parts: list[Columns]) -> Columns:
    """Concatenate the rows of several parts, which all have the same columns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class Collector:
    """Collects the rows of parts into whole columns as they come, so that large vectors are never held twice.

    Every part has the same number of rows; the columns hold the parts in the order of their ids.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._places = {pair: place for place, pair in enumerate(sorted(ids))}
        self._columns: Columns = {}

    def add(self, pair: str, columns: Columns) -> None:
        """Add the rows of one pair."""
        for name, values in with_pair(columns, pair).items():
            rows = len(values)
            if name not in self._columns:
                self._columns[name] = np.empty((len(self._places) * rows, *values.shape[1:]), values.dtype)
            first = self._places[pair] * rows
            self._columns[name][first : first + rows] = values

    def columns(self) -> Columns | None:
        """Return the columns, or None if nothing was added."""
        return self._columns or None


def with_pair(columns: Columns, pair: str) -> Columns:
    """Return the same rows with the pair's id as an additional column."""
    return {"pair": words(len(next(iter(columns.values()))), pair), **columns}


def words(rows: int, word: str) -> np.ndarray:
    """Return a column that holds the same word in every row, in 8 bytes per row."""
    return np.full(rows, word, dtype=object)


def curve_rows(pairs: int, steps: int, layers: Sequence[int], n_layers: int) -> int:
    """Count the rows of the full grid: every path is recorded at its own layer, every later layer and the logits."""
    return pairs * steps * sum(n_layers - layer + 1 for layer in layers)
