"""Generate sentences about a run; their words are chosen by stated thresholds, so they are true of any result.

Every function here turns tables into Markdown. The thresholds are constants, which the page's method chapter shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from plateaus.curves.sharpness import Rule, Sharpness, is_plateau
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.data.schemas import QUANTITIES
from plateaus.drawing import panels, wording
from plateaus.drawing.contract import Settings
from plateaus.figures import f08_step_sizes, x01_suite, x02_tokens
from plateaus.judging import judged, words
from plateaus.page import findings
from plateaus.page.findings import SMALL_CHANGE

NEARLY_STRAIGHT = 0.7
"""A curve whose boundary is at least this wide is called about as gradual as a straight line."""
STEADY, ON_THE_WHOLE = 0.9, 0.5
"""Smallest absolute rank correlations at which a change is called steady, and a change on the whole."""
PEAK = 1.25
"""The largest step is called a peak if it is at least this many times the mean step."""


class Row(NamedTuple):
    """One row of the summary table: a model, a pair, and the sharpness of its curve at the logits."""

    model: str
    pair: panels.Words
    sharpness: Sharpness[float]


def summary(results: Results, settings: Settings) -> list[Row]:
    """Measure the logits' curve of every model and shown pair, interpolated at the trace layer."""
    rows = []
    for model in results.models:
        if settings.trace_layer not in panels.interp_layers(results, model):
            continue
        for pair in settings.pairs:
            curve = results.curve(model, pair, interp_layer=settings.trace_layer, site="logits")
            rows.append(Row(model, panels.words(results, pair), panels.measured(curve)))
    return rows


def shape(sharpness: Sharpness[float], rule: Rule) -> str:
    """Describe the shape of a curve by the plateau rule and by `NEARLY_STRAIGHT`."""
    if is_plateau(sharpness, rule):
        return "meets the plateau rule"
    if sharpness.w >= NEARLY_STRAIGHT:
        return "is about as gradual as a straight line"
    return (
        f"has a narrower boundary than a straight line, but does not meet the plateau rule ({failing(sharpness, rule)})"
    )


def failing(sharpness: Sharpness[float], rule: Rule) -> str:
    """List the parts of the plateau rule that a curve does not meet."""
    found = []
    if sharpness.w > rule.w_at_most:
        found.append(f"w is above {rule.w_at_most:g}")
    for side, rest in (("A", sharpness.rest_a), ("B", sharpness.rest_b)):
        if rest < rule.rest_at_least:
            found.append(f"it rests near {side} for less than {rule.rest_at_least:g}")
    if sharpness.departure > rule.departure_at_most:
        found.append(f"it departs from a monotone curve by more than {rule.departure_at_most:g}")
    return wording.listed(found)


def trend(x: Sequence[float], y: Sequence[float]) -> str:
    """Say how y changes with x: `falls steadily`, `rises on the whole`, `has no clear trend`, `hardly changes`."""
    if max(y) - min(y) <= SMALL_CHANGE:
        return "hardly changes"
    correlation = float(spearmanr(x, y).statistic)
    if not abs(correlation) >= ON_THE_WHOLE:
        return "has no clear trend"
    return f"{'rises' if correlation > 0 else 'falls'} {'steadily' if abs(correlation) >= STEADY else 'on the whole'}"


def overview(results: Results, settings: Settings) -> str:
    """Sum up the summary table in one or two sentences."""
    rows = summary(results, settings)
    if not rows:
        return f"No model of this run was interpolated at layer {settings.trace_layer}."
    meeting = [row for row in rows if is_plateau(row.sharpness, settings.rule)]
    by_width = sorted(rows, key=lambda row: row.sharpness.w)
    narrow, wide = by_width[0], by_width[-1]
    verb = "meets" if len(meeting) <= 1 else "meet"
    said = f"Of {wording.plural(len(rows), 'curve')}, {len(meeting) or 'none'} {verb} the plateau rule. "
    said += f"The sharpest is {narrow.pair.markdown} on `{narrow.model}` (w = {wording.number(narrow.sharpness.w)})"
    if len(rows) > 1:
        said += (
            f", and the most gradual is {wide.pair.markdown} on `{wide.model}` (w = {wording.number(wide.sharpness.w)})"
        )
    return said + "."


def logits(results: Results, model: str, settings: Settings) -> str:
    """Say what f02_logits shows."""
    rows = [row for row in summary(results, settings) if row.model == model]
    return " ".join(
        f"The curve of {row.pair.markdown} {shape(row.sharpness, settings.rule)}: its width w is "
        f"{wording.number(row.sharpness.w)}, its midpoint is at {wording.number(row.sharpness.midpoint)}, and it "
        f"rests for {wording.number(row.sharpness.rest_a)} of the path near “{wording.escape(row.pair.a)}” and for "
        f"{wording.number(row.sharpness.rest_b)} near “{wording.escape(row.pair.b)}”."
        for row in rows
    )


def widths(results: Results, model: str, pair: str, *, interp: int | None, record: int | None) -> dict[int, float]:
    """Measure the boundary width at resid_post by layer, without the rows of the interpolation layer itself.

    Args:
        results: The tables of the run.
        model: Id of the model.
        pair: Id of the pair.
        interp: The interpolation layer if the recording layer varies, else None.
        record: The recording layer if the interpolation layer varies, else None.

    Returns:
        The layer that varies to the width w, in units of alpha.
    """
    rows = results.curve(model, pair, interp_layer=interp, record_layer=record)
    varied = "record_layer" if record is None else "interp_layer"
    rows = rows[rows["record_layer"] > rows["interp_layer"]]
    return {layer: panels.measured(curve).w for layer, curve in panels.split(rows, varied).items()}


def record_layers(results: Results, model: str, settings: Settings) -> str:
    """Say what f03_record_layers shows: how the width changes with the recording layer, and how evenly."""
    said = []
    for pair in settings.pairs:
        found = widths(results, model, pair, interp=settings.trace_layer, record=None)
        said.append(_along(panels.words(results, pair).markdown, found, "recording layer") + _largest_fall(found))
    return " ".join(said)


def interpolation_layers(results: Results, model: str, settings: Settings) -> str:
    """Say what f04_interpolation_layers shows: how the width changes with the interpolation layer."""
    last = panels.n_layers(results, model) - 1
    found = {pair: widths(results, model, pair, interp=None, record=last) for pair in settings.pairs}
    return " ".join(
        _along(panels.words(results, pair).markdown, by_layer, "interpolation layer")
        for pair, by_layer in found.items()
    )


def _along(name: str, found: Mapping[int, float], what: str) -> str:
    layers = sorted(found)
    if len(layers) == 1:
        return f"For {name}, w is {wording.number(found[layers[0]])} at {what} {layers[0]}."
    return (
        f"For {name}, w {trend(layers, [found[layer] for layer in layers])} with the {what}, from "
        f"{wording.number(found[layers[0]])} at layer {layers[0]} to {wording.number(found[layers[-1]])} at layer "
        f"{layers[-1]}."
    )


def _largest_fall(found: Mapping[int, float]) -> str:
    layers = sorted(found)
    total = found[layers[0]] - found[layers[-1]]
    if len(layers) < 3 or total <= SMALL_CHANGE:
        return ""
    falls = {after: found[before] - found[after] for before, after in pairwise(layers)}
    layer = max(falls, key=lambda after: falls[after])
    return f" The largest single fall is {wording.number(falls[layer])} of {wording.number(total)}, at layer {layer}."


def fixed_depth(results: Results, model: str, settings: Settings) -> str:
    """Say what f05_fixed_depth shows: the median width at each number of layers N, and the trend with L at each N."""
    said = []
    for pair in settings.pairs:
        curves = results.curve(model, pair)
        found: dict[int, dict[int, float]] = {}
        for start, rows in panels.split(curves, "interp_layer").items():
            for end, curve in panels.split(rows, "record_layer").items():
                if end - start in settings.depths:
                    found.setdefault(end - start, {})[start] = panels.measured(curve).w
        depths = sorted(found)
        medians = [float(np.median(list(found[depth].values()))) for depth in depths]
        listed = wording.listed(
            f"{wording.number(median)} at N = {depth}" for depth, median in zip(depths, medians, strict=True)
        )
        change = f" {trend(depths, medians)} with N:" if len(depths) > 1 else " is"
        said.append(f"For {panels.words(results, pair).markdown}, the median of w over L{change} {listed}.")
        by_depth = {depth: trend(list(ws), list(ws.values())) for depth, ws in found.items() if len(ws) >= 5}
        if by_depth:
            parts = [
                f"{word} at N = {wording.listed(str(depth) for depth in depths if by_depth.get(depth) == word)}"
                for word in dict.fromkeys(by_depth[depth] for depth in depths if depth in by_depth)
            ]
            said.append(f"As L grows at a fixed N, w {wording.listed(parts)}.")
    return " ".join(said)


def step_sizes(results: Results, model: str, settings: Settings) -> str:
    """Say what f08_step_sizes shows: whether there is a peak, how high it is, and whether it lies in the boundary."""
    said = []
    for pair in settings.pairs:
        name = panels.words(results, pair).markdown
        curves = results.curve(model, pair, interp_layer=settings.trace_layer)
        last = int(curves["record_layer"].max())
        rows = curves[curves["record_layer"] == last]
        steps, sharp = f08_step_sizes.steps_of(rows), panels.measured(rows)
        height = wording.number(steps.peak)
        if steps.peak < PEAK:
            said.append(
                f"For {name}, there is no peak at layer {last}, where the largest step is {height} times the mean."
            )
            continue
        inside = sharp.alpha10 <= steps.peak_alpha <= sharp.alpha90
        side = "inside" if inside else "outside"
        said.append(
            f"For {name}, at layer {last} the largest step is {height} times the mean, at alpha "
            f"{wording.number(steps.peak_alpha)}; the curve of that layer has its midpoint at "
            f"{wording.number(sharp.midpoint)}, and the largest step is {side} its boundary."
        )
    return " ".join(said)


def tokens(results: Results, model: str, settings: Settings) -> str:
    """Say what x02_tokens shows: how many changes of the first choice lie inside the boundary of the logits."""
    frame = results.table(model, tables.TOKENS)
    said = []
    for pair in settings.pairs:
        name = panels.words(results, pair).markdown
        one = x02_tokens.predictions(frame[frame["pair"] == pair])
        curve = results.curve(model, pair, interp_layer=settings.trace_layer, site="logits")
        sharp = panels.measured(curve)
        low, high = wording.number(sharp.alpha10), wording.number(sharp.alpha90)
        if not one.switches:
            said.append(f"For {name}, the model’s first choice is the same along the whole path.")
            continue
        inside = sum(sharp.alpha10 <= alpha <= sharp.alpha90 for alpha in one.switches)
        if len(one.switches) == 1:
            changes = f"once, {'inside' if inside else 'outside'}"
        else:
            changes = f"{len(one.switches)} times, {inside or 'none'} of them inside"
        said.append(
            f"For {name}, the model’s first choice changes {changes} the boundary of the logits (alpha {low} to "
            f"{high})."
        )
    return " ".join(said)


def selfcheck(results: Results) -> str:
    """Say how large the largest error of the self-check is, and where."""
    frames = [results.table(model, tables.SELFCHECK).assign(model=model) for model in results.models]
    worst = max((frame.sort_values("error").iloc[-1] for frame in frames), key=lambda row: float(row["error"]))
    tolerance = max(float(frame["tolerance"].max()) for frame in frames)
    if float(worst["error"]) == 0:
        return "no quantity differs"
    return (
        f"the largest relative error is {wording.power(float(worst['error']))} "
        f"({QUANTITIES[str(worst['quantity'])]}, layer {int(worst['layer'])} of `{worst['model']}`), and above "
        f"{wording.power(tolerance)} the run would have stopped before its first curve"
    )


def claims(results: Results) -> str:
    """List the post's claims by verdict, for every model that at least one claim was tested on."""
    found = judged.verdicts(results.root)
    said = []
    for model in dict.fromkeys(one.model for one in found.judged if one.tested):
        mine = [one for one in found.judged if one.model == model]
        parts = []
        for word in words.SYMBOLS:
            names = [one.claim for one in mine if one.verdict == word]
            if names:
                parts.append(f"*{word}* for {wording.listed(names)}")
        said.append(f"The verdicts on `{model}` are {'; '.join(parts)}.")
    if not said:
        reasons = {str(one.entry["reason"]) for one in found.judged if one.entry["reason"]}
        why = wording.listed(wording.escape(reason) for reason in sorted(reasons)[:2])
        return f"None of the claims was tested: {why or 'claims.tests is empty'}."
    return " ".join(said)


FINDINGS: dict[str, Callable[[Results, str, Settings], str]] = {
    **findings.FINDINGS,
    "f02_logits": logits,
    "f03_record_layers": record_layers,
    "f04_interpolation_layers": interpolation_layers,
    "f05_fixed_depth": fixed_depth,
    "f08_step_sizes": step_sizes,
    "x01_suite": x01_suite.finding,
    "x02_tokens": tokens,
}
"""Figure to the function that makes the sentences below it; called only for figures that could be drawn."""
