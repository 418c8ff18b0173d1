"""The prompt suite for the figures: the kind of every pair, how strong its plateau is, and each model's random copy."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing.contract import Settings
from plateaus.judging.measures import LOGITS, NEXT_TOKEN
from plateaus.prompts.pairs import NATURAL, SUITE
from plateaus.prompts.sampling import MATCH

PUBLISHED = "published"


class Kind(NamedTuple):
    """A kind of pairs.

    Attributes:
        label: Its name in a legend.
        counted: Its name after a number of pairs, in captions.
    """

    label: str
    counted: str


IN_NATURAL = Kind("natural pairs", "natural pairs")
UNNATURAL = Kind("same words where neither can stand", "pairs of the same words where neither can stand")
CONTROL = Kind("random tokens or no context", "pairs after random tokens or without a context")
POST = Kind("the post’s pairs", "pairs of the post")


class Yardstick(NamedTuple):
    """What the distance between two outputs is measured by.

    Attributes:
        site: The recording site of its curves.
        name: Its name in a sentence.
    """

    site: str
    name: str

    @property
    def title(self) -> str:
        """Its name as the title of a panel."""
        return self.name[0].upper() + self.name[1:]


YARDSTICKS = (Yardstick(LOGITS, "logits"), Yardstick(NEXT_TOKEN, "next-token distributions"))


def tags_of(text: str) -> frozenset[str]:
    """Split the column `tags` of a pair at its semicolons."""
    return frozenset(tag.strip() for tag in text.split(";") if tag.strip())


def kind_of(tags: frozenset[str]) -> Kind | None:
    """Return the kind of a pair with these tags; a published pair never counts as a pair of the suite.

    Returns:
        The kind, or None for a pair that is neither published nor of the suite.
    """
    if PUBLISHED in tags:
        return POST
    if SUITE not in tags:
        return None
    if NATURAL in tags:
        return IN_NATURAL
    return UNNATURAL if any(tag.startswith(MATCH) for tag in tags) else CONTROL


def kinds(results: Results) -> dict[str, Kind]:
    """Map each pair id to its kind, without the pairs that are neither of the suite nor published."""
    found = {str(pair): kind_of(tags_of(str(tags))) for pair, tags in results.pairs["tags"].items()}
    return {pair: kind for pair, kind in found.items() if kind is not None}


def curves(results: Results, model: str, settings: Settings, yardstick: Yardstick) -> pd.DataFrame:
    """Return strength, plateau and half_plateau of every pair's output from the trace layer, indexed by pair id."""
    frame = results.table(model, tables.SHARPNESS)
    mask = (frame["stage"] == "interpolate") & (frame["site"] == yardstick.site)
    rows = frame[mask & (frame["interp_layer"] == settings.trace_layer)]
    return rows.assign(pair=rows["pair"].astype(str)).set_index("pair")[["strength", "plateau", "half_plateau"]]


def random_copies(results: Results, settings: Settings) -> dict[str, str]:
    """Map each trained model to the first model of the run that has its architecture and random weights, if any."""
    found: dict[str, str] = {}
    for model in results.models:
        found.setdefault(settings.about(model).like, model)
    return {model: copy for model, copy in found.items() if model}
