"""The logits along interpolation paths, measured without holding all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.curves.geometry import Measures
from plateaus.model.transformer import Transformer

LOGIT_BLOCK = 64
"""How many steps of a long path are measured at a time: a vocabulary is large, so not all logits are held together."""


LOGIT_BYTES = 3e7
"""How many bytes of logits, of several short paths, are computed in one matrix product: a product of few rows spends
most of its time loading the weights."""


class LogitCurve(NamedTuple):
    """The logits along one path.

    Attributes:
        measures: Measures of the logits at every step, against the logits at the path's own two ends.
        errors: (2,), for each end, the largest absolute difference between its logits and those of the unpatched
            prompt; NaN if the unpatched logits were not given.
    """

    measures: Measures
    errors: Float[Tensor, " end"]


def measure_logits(
    model: Transformer,
    paths: Float[Tensor, "paths steps d_model"],
    norm_scale: Tensor | None = None,
    unpatched: Float[Tensor, "end d_vocab"] | None = None,
) -> Iterator[LogitCurve]:
    """Measure the logits along each path.

    Args:
        model: The model.
        paths: resid_post of the last layer along the paths.
        norm_scale: (paths, steps, 1), a scale for the final norm at every row that replaces the row's own scale.
        unpatched: The logits of the two unpatched prompts, against which the ends of each path are checked.

    Yields:
        One curve per path, in order.
    """
    steps = paths.shape[1]
    if steps > LOGIT_BLOCK + 1:
        for number, rows in enumerate(paths):
            yield _in_blocks(model, rows, None if norm_scale is None else norm_scale[number], unpatched)
        return
    together = max(1, int(LOGIT_BYTES / (4 * steps * model.d_vocab)))
    for start in range(0, len(paths), together):
        some = slice(start, start + together)
        scale = None if norm_scale is None else norm_scale[some].flatten(0, 1)
        yield from _of_paths(model.logits(paths[some].flatten(0, 1), scale), steps, unpatched)


def _of_paths(logits: Tensor, steps: int, unpatched: Tensor | None) -> list[LogitCurve]:
    """Measure several paths from their logits, (paths * steps, d_vocab).

    A list is returned, so that these logits are freed before the next ones are computed. The paths are measured one at
    a time, so that the differences of a path stay in the processor's cache.
    """
    paths = logits.split(steps)
    return [LogitCurve(geometry.measure(of_path), _errors(of_path[[0, -1]], unpatched)) for of_path in paths]


def _errors(ends: Tensor, unpatched: Tensor | None) -> Tensor:
    return torch.full_like(ends[:, 0], torch.nan) if unpatched is None else (ends - unpatched).abs().amax(-1)


def _in_blocks(model: Transformer, rows: Tensor, norm_scale: Tensor | None, unpatched: Tensor | None) -> LogitCurve:
    """Measure the logits along one long path, a block of steps at a time."""

    def logits(chosen: slice | list[int]) -> Tensor:
        return model.logits(rows[chosen], None if norm_scale is None else norm_scale[chosen])

    ends = logits([0, -1])
    parts = []
    for start in range(0, len(rows), LOGIT_BLOCK):
        # The block has one step more than is kept, which gives the last kept step its step size.
        block = logits(slice(start, start + LOGIT_BLOCK + 1))
        # A row's logits differ by rounding between batches. Taking the ends from `ends`, against which all distances
        # are measured, makes the distance there exactly 0 and 1.
        if start == 0:
            block[0] = ends[0]
        if start + LOGIT_BLOCK + 1 >= len(rows):
            block[-1] = ends[1]
        measured = geometry.measure(block, (ends[:1], ends[1:]))
        parts.append(Measures(*(values[:LOGIT_BLOCK] for values in measured)))
    return LogitCurve(Measures(*(torch.cat(columns) for columns in zip(*parts, strict=True))), _errors(ends, unpatched))
