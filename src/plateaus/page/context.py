"""What the report stage tells the page and writes into provenance.json, turned back into objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plateaus.curves.sharpness import Rule
from plateaus.drawing.contract import About, Settings

TUPLES = ("pairs", "depths", "mapped", "robust")


def settings_of(told: Mapping[str, Any]) -> Settings:
    """Return the settings of the figures from what JSON made of them."""
    return Settings(
        **{
            **told,
            **{name: tuple(told[name]) for name in TUPLES},
            "rule": Rule(*told["rule"]),
            "models": {model: About(*about) for model, about in told["models"].items()},
        }
    )
