"""How strengths depend on choices that should not matter: the numbers of the figure and of the page's table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.data.schemas import VARIANTS
from plateaus.judging.measures import LOGITS, NEXT_TOKEN

OWN = VARIANTS[0]
"""The run's own setting."""
YARDSTICKS = {LOGITS: "logits", NEXT_TOKEN: "next-token distributions"}
"""The yardsticks, and what each is called."""
RESAMPLES = 2000
SEED = 0


class Median(NamedTuple):
    """The median strength under one variant by one yardstick.

    Attributes:
        strength: The median over pairs.
        low, high: Its 95 % interval by a percentile bootstrap over pairs, as if they were independent.
        change: The median over pairs of |s under this variant - s as in the run|.
    """

    strength: float
    low: float
    high: float
    change: float


class Row(NamedTuple):
    """One variant.

    Attributes:
        variant: Its name, one of `VARIANTS`.
        pairs: Number of pairs.
        medians: By yardstick, in the order of `YARDSTICKS`.
    """

    variant: str
    pairs: int
    medians: dict[str, Median]


def summary(results: Results, model: str) -> list[Row]:
    """Summarise the table `robustness` of a model, in the order of `VARIANTS`."""
    frame = results.table(model, tables.ROBUSTNESS)
    frame = frame.assign(**{name: frame[name].astype(str) for name in tables.ROBUSTNESS.key})
    by_site = {
        site: frame[frame["site"] == site].pivot(index="pair", columns="variant", values="strength")
        for site in YARDSTICKS
    }
    return [
        Row(variant, len(by_site[LOGITS]), {site: _median(wide, variant) for site, wide in by_site.items()})
        for variant in VARIANTS
        if variant in by_site[LOGITS]
    ]


def _median(wide: pd.DataFrame, variant: str) -> Median:
    s, own = (wide[name].to_numpy(np.float64) for name in (variant, OWN))
    return Median(float(np.median(s)), *interval(s), change=float(np.median(np.abs(s - own))))


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a median by a percentile bootstrap, with the same draws for all variants.

    Args:
        values: Shape (pairs,).
    """
    draws = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(values[draws], axis=1), [0.025, 0.975])
    return float(low), float(high)


def left_out(rows: list[Row]) -> str:
    """Say which variants the stage left out, and why; empty if none."""
    made = {row.variant for row in rows}
    reasons = {
        "with begin-of-sequence token": "prompts with a begin-of-sequence token are left out, because the tokenizer "
        "names none or they are too long",
        "weights rounded to bfloat16": "rounded weights are left out, because the model is stored in bfloat16",
    }
    if "without begin-of-sequence token" in made:
        del reasons["with begin-of-sequence token"]
    said = [reason for variant, reason in reasons.items() if variant not in made]
    return f"{'; '.join(said).capitalize()}." if said else ""
