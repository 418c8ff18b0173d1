"""Figure 1: a diagram of the method with the words of the first pair; it shows no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "The method"
READS = (tables.ENDPOINTS,)
PER_MODEL = False

HEIGHT = 5.5
ROOM = 3.1
"""Width of the boxes of a prompt, in inches; a longer prompt loses its first tokens."""
BLEND = LinearSegmentedColormap.from_list("a to b", [style.COLOUR_A, "#8a7f8f", style.COLOUR_B])


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the two prompts, the path between them, the patch, and the relative distance that is read."""
    pair = panels.words(results, settings.pairs[0])
    figure = Figure(figsize=(style.WIDTH, HEIGHT))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, style.WIDTH)
    ax.set_ylim(0, HEIGHT)
    ax.axis("off")
    _prompts(ax, pair)
    _path(ax)
    _stack(ax)
    _reading(ax)
    a, b = wording.escape(pair.a), wording.escape(pair.b)
    caption = (
        f"**The method.** Two prompts share all but their last token, here “{a}” and “{b}”. (1) Both are run, and "
        "their activations at the last token after layer L are A and B. (2) Points x(alpha) are taken on the path "
        "from A to B. (3) Each point replaces the activations after layer L, and the later layers are run. (4) At a "
        "later layer or at the logits, the relative distance d says how far the result has moved from that of prompt A "
        "to that of prompt B. The curves in (4) are sketches, not measurements."
    )
    alt = (
        f"Diagram in four parts. 1: the tokens of two prompts that differ in the last one, {pair.a} or {pair.b}. "
        "2: an arc of points from vector A to vector B. 3: a column of layers in which the point x(alpha) replaces "
        "the output of layer L. 4: the formula of the relative distance d, with two sketched curves of d against "
        "alpha: a straight one, and one that is flat, rises steeply and is flat again."
    )
    return Drawing(figure, caption, alt, READS)


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, **look: Any) -> None:
    face, edge = look.get("face", "#f3f3f3"), look.get("edge", style.GREY)
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=face,
            edgecolor=edge,
            linewidth=1,
        )
    )
    weight = "bold" if look.get("bold") else "normal"
    ax.text(
        x + width / 2,
        y + height / 2,
        text,
        ha="center",
        va="center_baseline",
        fontweight=weight,
        **look.get("font", {}),
    )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = style.INK) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=1.2, shrinkA=0, shrinkB=0
        )
    )


def _heading(ax: Axes, x: float, y: float, number: int, text: str) -> None:
    ax.text(
        x,
        y,
        str(number),
        color="white",
        fontweight="bold",
        ha="center",
        va="center",
        bbox={"boxstyle": "circle,pad=0.22", "facecolor": style.INK, "edgecolor": "none"},
    )
    ax.text(x + 0.2, y, text, va="center", fontweight="bold")


def _prompts(ax: Axes, pair: panels.Words) -> None:
    _heading(ax, 0.2, 5.28, 1, "Run two prompts that differ in the last token")
    ends = [style.drawable(wording.shortened(word, 10)) for word in (pair.a, pair.b)]
    widths = [0.3 + 0.095 * len(end) for end in ends]
    shared = [style.drawable(wording.shortened(token, 9)) for token in pair.context.split()] or ["(no context)"]
    while len(shared) > 1 and sum(map(_box_width, shared)) > ROOM - max(widths):
        shared = ["…", *shared[2:]] if shared[0] == "…" else ["…", *shared[1:]]
    looks = ((style.COLOUR_A, "#dbe7f3"), (style.COLOUR_B, "#f6e3cf"))
    for row, (name, end, width, (colour, face)) in enumerate(zip("AB", ends, widths, looks, strict=True)):
        y, x = 4.68 - 0.42 * row, 0.1
        for token in shared:
            _box(ax, x, y, _box_width(token) - 0.07, 0.32, token)
            x += _box_width(token)
        _box(ax, x, y, width, 0.32, end, face=face, edge=colour, bold=True)
        _arrow(ax, (x + width + 0.06, y + 0.16), (x + width + 0.4, y + 0.16), colour)
        label = f"{name} = its vector after layer L"
        ax.text(x + width + 0.48, y + 0.16, label, va="center_baseline", color=colour)


def _box_width(token: str) -> float:
    """Return the width of the box of a shared token with the gap after it, in inches."""
    return 0.37 + 0.085 * len(token)


def _path(ax: Axes) -> None:
    _heading(ax, 0.2, 3.85, 2, "Interpolate")
    origin = np.array([0.25, 0.75])
    angles = np.deg2rad(np.linspace(80, 22, 13))
    lengths = np.linspace(2.35, 1.5, 13)
    points = origin + lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for tip, colour in ((points[0], style.COLOUR_A), (points[-1], style.COLOUR_B)):
        ax.plot([origin[0], tip[0]], [origin[1], tip[1]], color=colour, linewidth=1, linestyle=(0, (3, 2)))
    ax.scatter(points[:, 0], points[:, 1], c=np.linspace(0, 1, 13), cmap=BLEND, s=26, zorder=3)
    ax.plot(*origin, marker="+", color=style.GREY, markersize=7)
    ax.text(points[0, 0] - 0.02, points[0, 1] + 0.12, "A", color=style.COLOUR_A, fontweight="bold", ha="center")
    ax.text(points[-1, 0] + 0.1, points[-1, 1] - 0.04, "B", color=style.COLOUR_B, fontweight="bold", va="center")
    ax.text(points[6, 0] + 0.12, points[6, 1] + 0.08, "x(alpha)", style="italic")
    ax.text(0.1, 0.2, "the post: spherical in\ndirection, linear in length", va="center")


def _stack(ax: Axes) -> None:
    _heading(ax, 2.4, 3.85, 3, "Patch")
    left, width, height = 2.4, 1.05, 0.3
    rows = [
        ("layer 0", False),
        ("…", False),
        ("layer L", True),
        ("layer L+1", False),
        ("…", False),
        ("last layer", False),
        ("logits", False),
    ]
    for row, (text, patched) in enumerate(rows):
        y = 0.5 + 0.44 * row
        if text == "…":
            ax.text(left + width / 2, y + height / 2, "⋮", ha="center", va="center")
        else:
            after = row >= 2
            _box(
                ax,
                left,
                y,
                width,
                height,
                text,
                face="#ece9ee" if after else "white",
                edge=style.INK if after else style.PALE,
                bold=patched,
                font={} if after else {"color": style.GREY},
            )
        if row + 1 < len(rows):
            colour = style.PALE if row < 2 else style.INK
            _arrow(ax, (left + width / 2, y + height + 0.01), (left + width / 2, y + 0.44), colour)
    _arrow(
        ax,
        (1.86, 0.5 + 0.88 + height + 0.07),
        (left + width / 2 - 0.03, 0.5 + 0.88 + height + 0.07),
        "#6f6577",
    )
    ax.text(left + width / 2, 0.2, "x(alpha) replaces\nlayer L’s output", ha="center", va="center")


def _reading(ax: Axes) -> None:
    _heading(ax, 3.95, 3.85, 4, "Read")
    ax.text(
        4.78,
        3.3,
        r"$d=\dfrac{\|x-A\|}{\|x-A\|+\|x-B\|}$",
        ha="center",
        va="center",
        fontsize=12,
        parse_math=True,
    )
    _arrow(ax, (3.5, 2.85), (3.78, 2.85))
    left, bottom, width, height = 4.05, 0.75, 1.6, 1.75
    ax.plot([left, left, left + width], [bottom + height + 0.1, bottom, bottom], color=style.GREY, linewidth=0.8)
    t = np.linspace(0, 1, 61)
    ax.plot(left + width * t, bottom + height * t, color=style.GREY, linewidth=1.3, linestyle=(0, (1, 1.5)))
    sketch = 1 / (1 + np.exp(-28 * (t - 0.47)))
    ax.plot(left + width * t, bottom + height * sketch, color="#31478c", linewidth=2)
    for value, name in ((0.0, "0"), (1.0, "1")):
        ax.text(left - 0.07, bottom + height * value, name, ha="right", va="center")
    ax.text(left, bottom - 0.08, "A", ha="center", va="top", color=style.COLOUR_A, fontweight="bold")
    ax.text(left + width, bottom - 0.08, "B", ha="center", va="top", color=style.COLOUR_B, fontweight="bold")
    ax.text(left + width / 2, bottom - 0.08, "alpha", ha="center", va="top")
    ax.text(left - 0.1, bottom + height / 2, "d", ha="right", va="center", style="italic")
    ax.text(
        left + 0.06, bottom + 0.09, "plateau", color="#31478c",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip
    ax.text(left + width, bottom + height + 0.08, "plateau", color="#31478c", ha="right")
    ax.text(left + width / 2, 0.2, "later layers\nand the logits", ha="center", va="center")
