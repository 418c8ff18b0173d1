"""A first curve: one pair of prompts on one model, as text in the terminal, as a picture and as a page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plateaus.curves.sharpness import Sharpness, measure_one
from plateaus.data.tables import atomic_path
from plateaus.drawing import panels, style, wording
from plateaus.errors import InputError
from plateaus.prompts.pairs import Pair, check_pair, tokenise_with_file

if TYPE_CHECKING:
    from plateaus.model.transformer import Transformer

COLUMNS, ROWS = 51, 11
"""Size of the curve in the terminal, in characters."""
YARDSTICKS = {"logits": "logits", "next_token": "next-token distributions"}
"""Recording site to what it is called."""


class End(NamedTuple):
    """One of the two prompts: its text, and its likeliest next token with the token's probability."""

    prompt: str
    token: str
    probability: float


class FirstCurve(NamedTuple):
    """What is found for one pair.

    Attributes:
        model: Name of the model.
        words: The pair.
        layer: The interpolation layer.
        ends: Prompt A and prompt B.
        alpha: (steps,), interpolation parameters.
        distances: Recording site to relative distance, (steps,).
        path_width: w of the path itself, which a response in proportion to the path has as well.
    """

    model: str
    words: panels.Words
    layer: int
    ends: tuple[End, End]
    alpha: NDArray[np.float64]
    distances: dict[str, NDArray[np.float64]]
    path_width: float

    def sharpness(self, site: str) -> Sharpness[float]:
        """Measure one of the curves."""
        return measure_one(self.alpha, self.distances[site])

    def strength(self, site: str) -> float:
        """Return s = 1 - w / w_path."""
        return 1 - self.sharpness(site).w / self.path_width


def measure(
    model: Transformer, name: str, context: str, a: str, b: str, *, layer: int = 0, steps: int = 50
) -> FirstCurve:
    """Interpolate between two prompts at one layer and measure the output by both yardsticks.

    Args:
        model: The model.
        name: Its name.
        context: The text that both prompts begin with.
        a: Last word of prompt A, a single token after the context and a space.
        b: Last word of prompt B.
        layer: The interpolation layer; negative numbers count from the last one.
        steps: Number of points on the path.

    Raises:
        InputError: the prompts do not differ in exactly their last token, they have the same predictions, or the model
            has no such layer.
    """
    import pandas as pd

    from plateaus.curves.layers import choose_layers
    from plateaus.stages.extract import endpoints
    from plateaus.stages.interpolate import Ends, interpolate_pairs

    if steps < 2:
        raise InputError(f"--steps is {steps}: give at least 2, the two ends of the path")
    try:
        (chosen,) = choose_layers([layer], model.n_layers)
    except ValueError as error:
        raise InputError(f"--layer: {error}") from None
    if chosen == model.n_layers - 1:
        raise InputError(f"--layer is {chosen}, the last of the model's {model.n_layers} layers: choose an earlier one")
    pair = Pair(f"{a}-{b}", context, a, b, "")
    check_pair(pair, "the prompts")
    (tokenised,) = tokenise_with_file([pair], model.folder / "tokenizer.json", name)
    residuals = endpoints(model, [tokenised])[0].residuals
    (found,) = interpolate_pairs(
        model, [Ends(tokenised, residuals)], steps=steps, path="spherical", layers=[chosen], trace_layer=chosen,
        top_tokens=1, memory_gb=0.5,
    )  # fmt: skip
    rows, tokens = pd.DataFrame(found.interpolate), pd.DataFrame(found.tokens)
    ends = []
    for step, word in ((0, a), (steps - 1, b)):
        best = tokens[tokens["step"] == step].sort_values("probability").iloc[-1]
        ends.append(End(pair.prompt(word), str(best["token"]), float(best["probability"])))

    def distance(site: str, record_layer: int) -> NDArray[np.float64]:
        curve = rows[(rows["site"] == site) & (rows["record_layer"] == record_layer)]
        return curve.sort_values("step")["distance"].to_numpy(np.float64)

    alpha = np.linspace(0, 1, steps)
    return FirstCurve(
        name,
        panels.Words(pair.id, context, a, b),
        chosen,
        (ends[0], ends[1]),
        alpha,
        {site: distance(site, model.n_layers) for site in YARDSTICKS},
        measure_one(alpha, distance("resid_post", chosen)).w,
    )


# ---- as text -----------------------------------------------------------------------------------------------------


def text(found: FirstCurve) -> str:
    """Return what the command prints."""
    lines = [f"{found.model}, interpolated at layer {found.layer}, from A to B:"]
    for name, end in zip("AB", found.ends, strict=True):
        lines.append(f"  {name}: {end.prompt!r} is most likely followed by {end.token!r} ({end.probability:.0%})")
    lines += ["", *plotted(found.alpha, found.distances["logits"]), ""]
    return "\n".join([*lines, *measures(found), meaning(found)])


def plotted(alpha: NDArray[np.float64], distance: NDArray[np.float64]) -> list[str]:
    """Draw a curve of relative distance in characters."""
    grid = [[" "] * COLUMNS for _ in range(ROWS)]
    for column in range(COLUMNS):
        height = float(np.interp(column / (COLUMNS - 1), alpha, distance))
        grid[ROWS - 1 - round(min(max(height, 0.0), 1.0) * (ROWS - 1))][column] = "•"
    labels = {0: "1.0", ROWS // 2: "0.5", ROWS - 1: "0.0"}
    drawn = [f"  {labels.get(row, ''):>4} │{''.join(line).rstrip()}" for row, line in enumerate(grid)]
    axis = f"       └{'─' * COLUMNS}"
    below = f"        {'A':<{COLUMNS // 2}}{'alpha':^5}{'B':>{COLUMNS - COLUMNS // 2 - 5}}"
    return ["  relative distance d of the logits", *drawn, axis, below]


def measures(found: FirstCurve) -> list[str]:
    """Return one line per yardstick, with the width of the boundary and the strength."""
    width = max(map(len, YARDSTICKS.values()))
    return [
        f"  {name + ':':<{width + 1}} w = {wording.number(found.sharpness(site).w)}, strength s = "
        f"{wording.number(found.strength(site))}"
        for site, name in YARDSTICKS.items()
    ]


def meaning(found: FirstCurve) -> str:
    """Return what the numbers mean."""
    return (
        f"  w is the share of the path in which d rises from 0.1 to 0.9; the path itself has "
        f"{wording.number(found.path_width)}.\n"
        "  s = 1 - w / w of the path: 0 for an output that follows the path, 1 for a jump."
    )


# ---- as files ----------------------------------------------------------------------------------------------------


def save(found: FirstCurve, folder: Path) -> tuple[Path, Path]:
    """Write the curve as a picture and as a page that loads nothing, and return their paths."""
    picture, page = folder / "curve.png", folder / "curve.html"
    folder.mkdir(parents=True, exist_ok=True)
    with style.applied():
        figure, (ax,) = panels.grid(1, 3.4)
        measured = found.sharpness("logits")
        ax.axvspan(measured.alpha10, measured.alpha90, color="#e8edf4", linewidth=0, zorder=0)
        panels.straight(ax)
        ax.plot(found.alpha, found.distances["logits"], "o-", color=style.COLOUR_A, markersize=2.6, label="logits")
        ax.plot(
            found.alpha, found.distances["next_token"], "--", color=style.COLOUR_B, label="next-token distributions"
        )
        panels.frame(ax, found.words)
        panels.distance_axis([ax])
        ax.legend(loc="upper left")
        style.write(figure, picture, salt="first-curve", dpi=150)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=200)
    with atomic_path(page) as temporary:
        temporary.write_text(_page(found, base64.b64encode(drawn.getvalue()).decode()), encoding="utf-8")
    return picture, page


def _page(found: FirstCurve, png: str) -> str:
    title = html.escape(f"{found.words.context} {found.words.name}")
    alt = html.escape(
        f"Relative distance against alpha: the logits' boundary has width {wording.number(found.sharpness('logits').w)}"
    )
    ends = "".join(
        f"<li><b>{name}</b>: “{html.escape(end.prompt)}” is most likely followed by “{html.escape(end.token)}” "
        f"({end.probability:.0%})</li>"
        for name, end in zip("AB", found.ends, strict=True)
    )
    numbers = "".join(f"<li>{html.escape(line.strip())}</li>" for line in measures(found))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font:17px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1c2430}"
        "img{width:100%;height:auto}</style>"
        f"<h1>{title}</h1><p>{html.escape(found.model)}, interpolated at layer {found.layer}.</p><ul>{ends}</ul>"
        f'<img alt="{alt}" src="data:image/png;base64,{png}"><ul>{numbers}</ul>'
        f"<p>{html.escape(meaning(found))}</p></html>\n"
    )
