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
"""If widths of a boundary differ by at most this much, the text says that they hardly change."""


def _logits(results: Results, model: str, pair: str, settings: Settings) -> Sharpness[float]:
    return panels.measured(results.curve(model, pair, interp_layer=settings.trace_layer, site="logits"))


def change(before: float, after: float) -> str:
    """Say in words and numbers how the width of a boundary changes."""
    verb = "hardly changes" if abs(after - before) <= SMALL_CHANGE else "widens" if after > before else "narrows"
    return f"{verb} (from w = {wording.number(before)} to {wording.number(after)})"


def freezing(results: Results, model: str, settings: Settings) -> str:
    """Say what f06_freezing shows."""
    return _frozen(results, model, settings, ("attn_mean", "attn_secant", "mlp_mean", "mlp_secant", "attn_mlp_mean"))


def no_layernorm(results: Results, model: str, settings: Settings) -> str:
    """Say what f07_no_layernorm shows."""
    if f07_no_layernorm.beside(model, settings):
        said = []
        for pair in settings.pairs:
            widths = {
                name: _logits(results, name, pair, settings).w for name in f07_no_layernorm.beside(model, settings)
            }
            own = widths.pop(model)
            parts = [
                f"by {own - w:+.2f} from that on `{name}` (w = {wording.number(own)} against {wording.number(w)})"
                for name, w in widths.items()
            ]
            said.append(
                f"For {panels.words(results, pair).markdown}, the width of the boundary at the logits differs "
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
        said.append(
            f"For {panels.words(results, pair).markdown}, the boundary at the logits changes as follows: "
            f"{'; '.join(parts)}."
        )
    return " ".join(said)


def inside(found: Profiles, boundary: Sharpness[float]) -> int:
    """Count the layers whose largest value lies within the boundary of the logits' curve."""
    return sum(boundary.alpha10 <= one.peak_alpha <= boundary.alpha90 for one in found.values())


def peaks_in_boundary(what: str, table: Table, column: str, **filters: object) -> Callable[..., str]:
    """Make a finding: in how many layers a quantity peaks within the boundary, and how many chance would give.

    Args:
        what: The name of the quantity, as a noun phrase.
        table: The table that holds the quantity.
        column: The column of the quantity.
        **filters: Further columns and the value that each must have; see `by_layer.profiles`.

    Returns:
        A function of the results, the model and the settings that returns the sentences.
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
                f"{inside(found, boundary)} of {wording.plural(len(found), 'layer')}; if the peaks were placed at "
                f"random, {wording.number(chance, 1)} would be expected there."
            )
        return " ".join(said)

    return finding


def of_picture(results: Results, model: str, settings: Settings) -> str:
    """Say what f10_mechanism shows."""
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
"""Figure to the function that makes the sentences below it."""
