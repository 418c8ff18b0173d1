"""Draw the workflow: a box for each stage, and an arrow from a stage to each stage that takes its outputs.

An arrow is left out if a longer path of arrows already leads to the same stage, which keeps the picture readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from plateaus.drawing import style


def depths(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Map each stage to the length of the longest path to it from a stage that takes no outputs.

    Args:
        edges: Stage to the stages whose outputs it takes.

    Raises:
        ValueError: The stages form a cycle.
    """
    found: dict[str, int] = {}

    def visit(stage: str, above: tuple[str, ...]) -> int:
        if stage in above:
            raise ValueError(f"the stages {' -> '.join((*above, stage))} form a cycle")
        if stage not in found:
            before = [visit(parent, (*above, stage)) + 1 for parent in edges.get(stage, ())]
            found[stage] = max(before, default=0)
        return found[stage]

    for stage in edges:
        visit(stage, ())
    return found


def draw(edges: Mapping[str, Sequence[str]]) -> Figure:
    """Draw the stages from top to bottom.

    Args:
        edges: Stage to the stages whose outputs it takes.
    """
    with style.applied():
        return _draw(edges)


def needed(edges: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the transitive reduction of the graph: the arrows (from, to) that the other arrows do not imply."""

    def above(stage: str) -> set[str]:
        return {found for parent in edges.get(stage, ()) for found in ({parent} | above(parent))}

    return [
        (parent, stage)
        for stage, parents in edges.items()
        for parent in parents
        if not any(parent in above(other) for other in parents if other != parent)
    ]


def _draw(edges: Mapping[str, Sequence[str]]) -> Figure:
    level, arrows = depths(edges), needed(edges)
    rows = [[stage for stage, depth in level.items() if depth == row] for row in range(max(level.values()) + 1)]
    wide = max(len(stages) for stages in rows)
    width, height = max(2.0, 1.45 * wide + 0.3), 0.72 * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.axis("off")
    places: dict[str, tuple[float, float]] = {}
    for depth, stages in enumerate(rows):
        # Each stage is placed below the stages that it takes from, so that few arrows cross.
        over = {stage: [places[parent][0] for parent, child in arrows if child == stage] for stage in stages}
        stages.sort(key=lambda stage: sum(over[stage]) / max(1, len(over[stage])))
        for number, stage in enumerate(stages):
            x = width / 2 + 1.45 * (number - (len(stages) - 1) / 2)
            places[stage] = (x, height - 0.41 - 0.72 * depth + 0.1)
    for parent, stage in arrows:
        (x0, y0), (x1, y1) = places[parent], places[stage]
        ax.add_patch(
            FancyArrowPatch(
                (x0, y0 - 0.17), (x1, y1 + 0.18), arrowstyle="-|>", mutation_scale=11, color=style.GREY,
                linewidth=1.1, shrinkA=0, shrinkB=0,
            )
        )  # fmt: skip
    for stage, (x, y) in places.items():
        ax.add_patch(
            FancyBboxPatch(
                (x - 0.6, y - 0.17), 1.2, 0.34, boxstyle="round,pad=0,rounding_size=0.06", facecolor="#e8edf4",
                edgecolor="#31478c", linewidth=1, zorder=2,
            )
        )  # fmt: skip
        ax.text(x, y, stage, ha="center", va="center_baseline", zorder=3)
    return figure


def alt(edges: Mapping[str, Sequence[str]]) -> str:
    """Return the alternative text of the picture: the same graph in words."""
    said = [f"{stage} takes {', '.join(parents)}" for stage, parents in edges.items() if parents]
    return f"Diagram of the {len(depths(edges))} stages: {'; '.join(said)}."


def save(figure: Figure, path: Path) -> None:
    """Write the picture to a file; see `style.write`."""
    style.write(figure, Path(path), salt="dag", dpi=150)
