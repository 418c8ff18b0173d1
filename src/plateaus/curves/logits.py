"""The logits along interpolation paths, measured without holding all of them."""

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
"""Steps of one path whose logits are held and measured at once, since a vocabulary is large."""


LOGIT_BYTES = 3e7
"""Logits of several paths that are made in one product: of fewer rows it mostly waits for the weights."""


class LogitCurve(NamedTuple):
    """The logits along one path.

    Attributes:
        measures: Against those at its own two ends.
        errors: (2,), largest difference of each end's from the unpatched prompt's; NaN where these are not given.
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
        norm_scale: (paths, steps, 1), the final norm's scale at every row in place of its own.
        unpatched: The logits of the two prompts.
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
    """Measure several paths at once; the logits are gone before the next are made.

    One path at a time is measured, so that the differences made of it stay in the processor's cache.
    """
    paths = logits.split(steps)
    return [LogitCurve(geometry.measure(of_path), _errors(of_path[[0, -1]], unpatched)) for of_path in paths]


def _errors(ends: Tensor, unpatched: Tensor | None) -> Tensor:
    return torch.full_like(ends[:, 0], torch.nan) if unpatched is None else (ends - unpatched).abs().amax(-1)


def _in_blocks(model: Transformer, rows: Tensor, norm_scale: Tensor | None, unpatched: Tensor | None) -> LogitCurve:
    """The same of one path, a block of steps at a time."""

    def logits(chosen: slice | list[int]) -> Tensor:
        return model.logits(rows[chosen], None if norm_scale is None else norm_scale[chosen])

    ends = logits([0, -1])
    parts = []
    for start in range(0, len(rows), LOGIT_BLOCK):
        # One step more than is kept, for the step size of the last one that is.
        block = logits(slice(start, start + LOGIT_BLOCK + 1))
        # A row's logits differ by rounding between batches; with the ends' own, distances there are exactly 0 and 1.
        if start == 0:
            block[0] = ends[0]
        if start + LOGIT_BLOCK + 1 >= len(rows):
            block[-1] = ends[1]
        measured = geometry.measure(block, (ends[:1], ends[1:]))
        parts.append(Measures(*(values[:LOGIT_BLOCK] for values in measured)))
    return LogitCurve(Measures(*(torch.cat(columns) for columns in zip(*parts, strict=True))), _errors(ends, unpatched))
