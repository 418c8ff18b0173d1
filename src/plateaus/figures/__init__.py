"""The figures: one module each, listed here in the order of the report.

To add a figure, write its module (see `plateaus.drawing.contract.FigureModule`) and add its name to `NAMES`. Nothing
here imports torch, and matplotlib is imported only when a figure is drawn.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from plateaus.data.results import Results
from plateaus.drawing.contract import About, Drawing, FigureModule, LeftOut, Settings

__all__ = ["FIGURES", "NAMES", "About", "Drawing", "FigureModule", "LeftOut", "Settings", "draw", "save"]

NAMES = (
    "f01_method",
    "f02_logits",
    "f03_record_layers",
    "f04_interpolation_layers",
    "f05_fixed_depth",
    "f06_freezing",
    "f07_no_layernorm",
    "f08_step_sizes",
    "f09_jacobians",
    "f10_mechanism",
    "f11_splines",
    "fn04_norms",
    "fn06_directional",
    "fn10_relu",
    "x00_overview",
    "x01_suite",
    "x02_tokens",
    "x03_training",
    "x04_scale",
    "x05_claims",
    "x06_robustness",
    "x07_map",
)
"""Names of the figures, which are also the names of their modules and files."""


class _Registry(Mapping[str, FigureModule]):
    """Maps the name of a figure to its module, which is imported when it is first looked up."""

    def __getitem__(self, name: str) -> FigureModule:
        if name not in NAMES:
            raise KeyError(name)
        return cast(FigureModule, importlib.import_module(f"plateaus.figures.{name}"))

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


FIGURES: Mapping[str, FigureModule] = _Registry()


def draw(name: str, results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw one figure of one model in the project's style, regardless of the user's own matplotlib settings.

    Args:
        name: Name of the figure, one of `NAMES`.
        results: The results of the run.
        model: Id of the model.
        settings: The settings of the figures.

    Returns:
        The figure, or the reason why it cannot be drawn.

    Raises:
        KeyError: if there is no figure of that name.
        InputError: if the tables lack a pair or a curve that the config asks for.
    """
    from plateaus.drawing import style

    with style.applied():
        return FIGURES[name].draw(results, model, settings)


def save(drawing: Drawing, folder: Path, name: str, dpi: int) -> None:
    """Write `folder/name.svg` and `folder/name.png`; equal drawings give equal bytes."""
    from plateaus.drawing import style

    for suffix in ("svg", "png"):
        style.write(drawing.figure, Path(folder) / f"{name}.{suffix}", salt=name + drawing.alt, dpi=dpi)
