"""How deep a pair goes: which stages work on it, and at which interpolation layers.

Every pair of a run gets the curve from the trace layer to the model's output. Only the deep ones, a seeded part of the
suite's natural pairs (tag ``deep``), also get other interpolation layers, freezing, Jacobians and splines. Pairs that
are not of the suite get everything. A model with random weights is a control: of the suite's pairs, it gets only what
claims compare, which is the curve of natural pairs at the trace layer, and spline codes.
"""

from __future__ import annotations

from collections.abc import Sequence

from plateaus.prompts.pairs import NATURAL, SUITE, Pair

DEEP = "deep"
"""Tag of the suite's pairs that go deep."""
ON_CONTROLS = frozenset({"spline"})
"""The stages after `interpolate` that work on the suite's deep pairs even if the model has random weights."""


def is_traced(pair: Pair) -> bool:
    """Return whether the vectors along a pair's path are kept, for the stages that need them."""
    return SUITE not in pair.labels or DEEP in pair.labels


def goes_into(pair: Pair, stage: str, *, trained: bool) -> bool:
    """Return whether a stage after `interpolate` (freeze, jacobian or spline) works on a pair."""
    return is_traced(pair) and (SUITE not in pair.labels or trained or stage in ON_CONTROLS)


def layers_of(pair: Pair, layers: Sequence[int], *, stride: int, trace_layer: int, trained: bool) -> list[int]:
    """Return the interpolation layers of a pair; none if the model gets no curve of it.

    Args:
        pair: The pair.
        layers: The interpolation layers of the run.
        stride: Deep pairs of the suite take every `stride`-th of them, starting with the first.
        trace_layer: The layer that every pair has.
        trained: Whether the model is trained.
    """
    if SUITE not in pair.labels:
        return sorted({*layers, trace_layer})
    if DEEP in pair.labels and trained:
        return sorted({*layers[::stride], trace_layer})
    return [trace_layer] if trained or NATURAL in pair.labels else []
