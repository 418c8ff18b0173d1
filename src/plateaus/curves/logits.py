"""The logits along interpolation paths, measured without holding all of them in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.curves.geometry import Measures
from plateaus.curves.limits import LOGIT_BLOCK, LOGIT_BYTES
from plateaus.model.transformer import Transformer


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
    unpatched: Float[Tensor, "paths end d_vocab"] | None = None,
) -> Iterator[LogitCurve]:
    """Measure the logits along each path.

    If the model's logits have coordinates (`plateaus.model.unembedding`), which are much shorter and have the same
    distances, these are measured, and only the ends of the paths are compared with real logits.

    Args:
        model: The model.
        paths: resid_post of the last layer along the paths.
        norm_scale: (paths, steps, 1), a scale for the final norm at every row that replaces the row's own scale.
        unpatched: For each path, the logits of the two unpatched prompts, against which its ends are checked.

    Yields:
        One curve per path, in order.
    """
    if model.logit_root is not None:
        yield from _by_coordinates(model, paths, norm_scale, unpatched)
    elif paths.shape[1] > LOGIT_BLOCK + 1:
        for number, rows in enumerate(paths):
            own = None if unpatched is None else unpatched[number]
            yield _in_blocks(model, rows, None if norm_scale is None else norm_scale[number], own)
    else:
        compared = itertools.repeat(None) if unpatched is None else iter(unpatched)

        def of_paths(logits: Tensor) -> list[LogitCurve]:
            # The paths are measured one at a time, so that the differences of a path stay in the processor's cache.
            return [LogitCurve(geometry.measure(one), _errors(one[[0, -1]], next(compared))) for one in logits]

        # `map` keeps no reference to these logits, so that they are freed before the next ones are computed.
        together = _together(model.logits, paths, norm_scale, 4 * model.d_vocab)
        yield from itertools.chain.from_iterable(map(of_paths, together))


def _together(
    of_rows: Callable[[Tensor, Tensor | None], Tensor], paths: Tensor, norm_scale: Tensor | None, row_bytes: int
) -> Iterator[Float[Tensor, "some steps n"]]:
    """Apply a function of rows and norm scales to as many paths at a time as fit into `LOGIT_BYTES`."""
    steps = paths.shape[1]
    together = max(1, int(LOGIT_BYTES / (row_bytes * steps)))
    for start in range(0, len(paths), together):
        some = slice(start, start + together)
        scale = None if norm_scale is None else norm_scale[some].flatten(0, 1)
        yield of_rows(paths[some].flatten(0, 1), scale).unflatten(0, (-1, steps))


def _by_coordinates(
    model: Transformer, paths: Tensor, norm_scale: Tensor | None, unpatched: Tensor | None
) -> Iterator[LogitCurve]:
    """Measure the logits along each path by their coordinates, and compute real logits at the two ends alone."""
    if unpatched is None:
        errors = _errors(paths[:, [0, -1]], None)
    else:
        scale = None if norm_scale is None else norm_scale[:, [0, -1]]
        ends = _together(model.logits, paths[:, [0, -1]], scale, 4 * model.d_vocab)
        compared = iter(unpatched)
        errors = torch.stack([_errors(one, next(compared)) for some in ends for one in some])
    measured = map(geometry.measure, _together(model.logit_coordinates, paths, norm_scale, 8 * (model.d_model + 1)))
    each = (Measures(*of_path) for some in measured for of_path in zip(*some, strict=True))
    for measures, of_ends in zip(each, errors, strict=True):
        yield LogitCurve(measures, of_ends)


def _errors(ends: Float[Tensor, "*paths end n"], unpatched: Tensor | None) -> Float[Tensor, "*paths end"]:
    return torch.full_like(ends[..., 0], torch.nan) if unpatched is None else (ends - unpatched).abs().amax(-1)


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
