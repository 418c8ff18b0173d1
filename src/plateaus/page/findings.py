"""Sentences about the mechanism: freezing, Jacobians, gains and splines, with words chosen by stated thresholds."""

from __future__ import annotations

from collections.abc import Callable

from plateaus.curves.sharpness import Sharpness
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.data.tables import Table
from plateaus.drawing import by_layer, frozen, panels, picture, wording
from plateaus.drawing.by_layer import Profiles
from plateaus.drawing.contract import Settings
from plateaus.figures import f07_no_layernorm

SMALL_CHANGE = 0.05
"""Widths that differ by at most this are said to hardly change."""


def _logits(results: Results, model: str, pair: str, settings: Settings) -> Sharpness[float]:
    return panels.measured(results.curve(model, pair, interp_layer=settings.trace_layer, site="logits"))


def change(before: float, after: float) -> str:
    """How a boundary's width changes, in words and numbers."""
    verb = "hardly changes" if abs(after - before) <= SMALL_CHANGE else "widens" if after > before else "narrows"
    return f"{verb} (w = {wording.number(before)} to {wording.number(after)})"


def freezing(results: Results, model: str, settings: Settings) -> str:
    """What f06_freezing shows."""
    return _frozen(results, model, settings, ("attn_mean", "attn_secant", "mlp_mean", "mlp_secant", "attn_mlp_mean"))


def no_layernorm(results: Results, model: str, settings: Settings) -> str:
    """What f07_no_layernorm shows."""
    if f07_no_layernorm.beside(model, settings):
        said = []
        for pair in settings.pairs:
            widths = {
                name: _logits(results, name, pair, settings).w for name in f07_no_layernorm.beside(model, settings)
            }
            own = widths.pop(model)
            parts = [
                f"of {own - w:+.2f} against `{name}` (w = {wording.number(own)} and {wording.number(w)})"
                for name, w in widths.items()
            ]
            said.append(
                f"For {panels.words(results, pair).markdown}, the boundary at the logits differs in width by a change "
                f"{wording.listed(parts)}."
            )
        return " ".join(said)
    return _frozen(results, model, settings, ("norm_mean",))


def _frozen(results: Results, model: str, settings: Settings, names: tuple[str, ...]) -> str:
    run = frozen.conditions(results, model)
    said = []
    for pair in settings.pairs:
        widths = {
            name: panels.measured(frozen.curve(results, model, pair, name, settings.trace_layer)).w
            for name in ("none", *names)
            if name in run
        }
        before = widths.pop("none")
        parts = [f"with {frozen.LOOKS[name].label}, it {change(before, after)}" for name, after in widths.items()]
        said.append(f"For {panels.words(results, pair).markdown}, the boundary at the logits: {'; '.join(parts)}.")
    return " ".join(said)


def inside(found: Profiles, boundary: Sharpness[float]) -> int:
    """In how many layers the largest value lies within the boundary of the logits' curve."""
    return sum(boundary.alpha10 <= one.peak_alpha <= boundary.alpha90 for one in found.values())


def peaks_in_boundary(what: str, table: Table, column: str, **filters: object) -> Callable[..., str]:
    """A finding: in how many layers a quantity is largest within the boundary, and how many chance would give.

    Args:
        what: The quantity, as a noun.
        table: Where it is.
        column: Its column.
        **filters: See `by_layer.profiles`.
    """

    def finding(results: Results, model: str, settings: Settings) -> str:
        said = []
        for pair in settings.pairs:
            found = by_layer.profiles(results, model, table, pair, column, **filters)
            boundary = _logits(results, model, pair, settings)
            chance = boundary.w * len(found)
            said.append(
                f"For {panels.words(results, pair).markdown}, {what} is largest within the boundary of the logits "
                f"(alpha {wording.number(boundary.alpha10)} to {wording.number(boundary.alpha90)}) in "
                f"{inside(found, boundary)} of {wording.plural(len(found), 'layer')}; a peak at a place taken at "
                f"random would be there in {wording.number(chance, 1)}."
            )
        return " ".join(said)

    return finding


def of_picture(results: Results, model: str, settings: Settings) -> str:
    """What f10_mechanism shows."""
    said = []
    for pair in settings.pairs:
        frames = picture.of_model(results, model, pair, settings.trace_layer)
        ours, straight = picture.errors(frames)
        better = "closer to" if ours < straight else "no closer to"
        said.append(
            f"For {panels.words(results, pair).markdown}, the curve predicted from the gains is {better} the measured "
            f"one than a straight line is: root mean square error {wording.number(ours, 3)} against "
            f"{wording.number(straight, 3)}."
        )
    return " ".join(said)


FINDINGS: dict[str, Callable[[Results, str, Settings], str]] = {
    "f06_freezing": freezing,
    "f07_no_layernorm": no_layernorm,
    "f09_jacobians": peaks_in_boundary("the MLP's Jacobian norm", tables.JACOBIAN, "frobenius", component="mlp"),
    "f10_mechanism": of_picture,
    "f11_splines": peaks_in_boundary("spline density", tables.SPLINE, "density"),
    "fn04_norms": peaks_in_boundary(
        "the Jacobian norm of the norm layer", tables.JACOBIAN, "frobenius", component="norm"
    ),
    "fn06_directional": peaks_in_boundary("the MLP's directional gain", tables.JACOBIAN, "gain", component="mlp"),
    "fn10_relu": peaks_in_boundary(
        "the Jacobian norm from active neurons", tables.JACOBIAN, "frobenius", component="mlp_fc"
    ),
}
"""Figure to the sentences below it."""
