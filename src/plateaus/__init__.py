"""Activation plateaus: where and how they emerge, rebuilt from a real model and tested over many prompts.

The functions that a notebook needs; the libraries behind them are imported only when a function is used:

    import plateaus

    model = plateaus.load_model()                               # the embedded model, or the path of a model folder
    curve = plateaus.curve(model, "The house was", "big", "in") # a data frame: how far the logits have moved, by alpha
    plateaus.sharpness(curve).w                                 # width of the boundary, in alpha
    run = plateaus.read_run("results/default")                  # the tables of a finished run
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plateaus.api import curve, load_model, read_run, sharpness

__version__ = "1.0.0"
__all__ = ["curve", "load_model", "read_run", "sharpness"]


def __getattr__(name: str) -> object:
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("plateaus.api"), name)
    raise AttributeError(f"module 'plateaus' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
