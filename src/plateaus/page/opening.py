"""The first screen of the page: the answer in two or three sentences with numbers, and one mark per claim."""

from __future__ import annotations

import html
from collections.abc import Callable

import numpy as np

from plateaus.data.results import Results
from plateaus.drawing import panels, suite, wording
from plateaus.drawing.contract import Settings
from plateaus.judging import judged, words
from plateaus.judging.judged import Judged

COUNTED = {
    words.HOLDS: ("holds", "hold"),
    words.WEAKLY: ("holds weakly", "hold weakly"),
    words.NOT_SEEN: ("is not seen", "are not seen"),
    words.CONTRADICTED: ("is contradicted", "are contradicted"),
    words.NOT_TESTED: ("is not tested", "are not tested"),
}
"""Verdict to what is said of one claim, and of several."""


def answer(results: Results, settings: Settings) -> str:
    """Return the answer for the first trained model, in Markdown: how abrupt, for which pair most, and the claims."""
    model = next((name for name in results.models if settings.about(name).trained), None)
    if model is None:
        return "This run has no trained model, so there is nothing to answer."
    said = [_abruptness(results, settings, model), _strongest(results, settings, model), _verdicts(results, model)]
    return " ".join(part for part in said if part)


def _natural(results: Results, settings: Settings, model: str) -> dict[str, float]:
    """Return the share of the path's own boundary that each natural pair takes at the logits, w / w_path."""
    known = suite.kinds(results)
    rows = suite.curves(results, model, settings, suite.YARDSTICKS[0])
    return {str(pair): 1 - float(s) for pair, s in rows["strength"].items() if known.get(str(pair)) == suite.IN_NATURAL}


def _abruptness(results: Results, settings: Settings, model: str) -> str:
    found = _natural(results, settings, model)
    if not found:
        return ""
    said = (
        f"Over {wording.plural(len(found), 'pair')} of words that continue a text naturally, the output of `{model}` "
        f"goes from one prompt’s to the other’s within **{np.median(list(found.values())):.0%}** of the path that an "
        "output in proportion would take (median)"
    )
    copy = suite.random_copies(results, settings).get(model)
    random = _natural(results, settings, copy) if copy else {}
    if random:
        said += f", and with random weights within {np.median(list(random.values())):.0%}"
    return f"{said}."


def _strongest(results: Results, settings: Settings, model: str) -> str:
    found = _natural(results, settings, model)
    if not found:
        return ""
    best = min(found, key=lambda pair: found[pair])
    pair = panels.words(results, best)
    return f"It is most abrupt between {pair.markdown} after “{wording.escape(pair.context)}”: {found[best]:.0%}."


def _verdicts(results: Results, model: str) -> str:
    mine = [one for one in judged.verdicts(results.root).judged if one.model == model]
    if not mine:
        return ""
    counts = {word: sum(one.verdict == word for one in mine) for word in words.SYMBOLS}
    parts = [f"{count} {COUNTED[word][count > 1]}" for word, count in counts.items() if count]
    return f"Of {wording.plural(len(mine), 'claim')}, {wording.listed(parts)}."


def strip(results: Results, section: Callable[[str], str]) -> str:
    """Return one link per claim with its mark and title, as HTML, for the first model with verdicts; empty if none.

    Args:
        results: The results of the run.
        section: Gives the address of a claim's section.
    """
    found = [one for one in judged.verdicts(results.root).judged if one.tested]
    if not found:
        return ""
    first = found[0].model
    mine = [one for one in judged.verdicts(results.root).judged if one.model == first]
    items = "".join(_mark(one, section(one.claim)) for one in mine)
    return f'<ul class="strip" aria-label="Verdicts on {html.escape(first)}">{items}</ul>\n'


def _mark(one: Judged, section: str) -> str:
    title = html.escape(str(one.entry["title"]))
    kind = one.verdict.replace(" ", "-")
    return (
        f'<li><a class="verdict {kind}" href="#{section}"><span aria-hidden="true">{words.SYMBOLS[one.verdict]}</span> '
        f'{title}<span class="aloud">: {html.escape(one.verdict)}</span></a></li>'
    )
