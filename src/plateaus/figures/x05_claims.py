"""A forest plot of all claims on all models, in units of the smallest effect that counts."""

from __future__ import annotations

import numpy as np

from plateaus.data.results import Results
from plateaus.drawing import style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.judging import judged, words

TITLE = "The claims"
READS = (judged.READS[0],)
PER_MODEL = False
EDGE = 6.0
"""Values above EDGE or below INNER, in units of the smallest effect, are drawn at the edge with an arrow."""
INNER = -3.0


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw a forest plot with one row per claim and one mark per model."""
    found = judged.verdicts(results.root)
    margin = float(found.rules.get("equivalence_margin", 1.0))
    tested = [one for one in found.judged if one.scaled(margin) is not None]
    if not tested:
        reasons = {str(one.entry["reason"]) for one in found.judged if one.entry["reason"]}
        why = wording.listed(sorted(reasons)[:2]) if reasons else "claims.tests is empty"
        return LeftOut(f"no claim was tested ({why})")
    from matplotlib.figure import Figure

    models = [name for name in results.models if any(one.model == name for one in tested)]
    claims = [claim for claim in found.claims if any(one.claim == claim for one in tested)]
    figure = Figure(figsize=(style.WIDTH, 0.8 + 0.36 * len(claims)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color=style.GREY, linewidth=0.9)
    ax.axvline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for one in tested:
        scaled = one.scaled(margin)
        assert scaled is not None
        number = models.index(one.model)
        y = claims.index(one.claim) + (number - (len(models) - 1) / 2) * min(0.3, 0.7 / len(models))
        at, low, high = (float(np.clip(value, INNER, EDGE)) for value in scaled)
        colour = style.CATEGORIES[number % len(style.CATEGORIES)]
        ax.plot([low, high], [y, y], color=colour, linewidth=1.4, zorder=2)
        outside = scaled.estimate < INNER or scaled.estimate > EDGE
        marker = (">" if scaled.estimate > EDGE else "<") if outside else "o"
        filled = one.verdict in ("holds", "contradicted")
        ax.plot([at], [y], marker=marker, color=colour, markerfacecolor=colour if filled else "white", zorder=3)
        ax.text(EDGE + 0.25, y, words.SYMBOLS[one.verdict], va="center", ha="left", color=colour)
    for number, name in enumerate(models):
        ax.plot([], [], color=style.CATEGORIES[number % len(style.CATEGORIES)], marker="o", label=name)
    titles = {one.claim: str(one.entry["title"]) for one in tested}
    ax.set_yticks(range(len(claims)), [f"{claim}  {wording.shortened(titles[claim], 44)}" for claim in claims])
    ax.set_ylim(len(claims) - 0.4, -0.6)
    ax.set_xlim(INNER - 0.2, EDGE + 0.8)
    ax.set_xticks([-2, 0, 1, 2, 4, 6], ["−2", "0", "1", "2", "4", "6"])
    ax.set_xlabel("Effect / smallest effect that counts", loc="right")
    if len(models) > 1:
        figure.legend(loc="outside lower center", ncols=min(3, len(models)), handlelength=1.5)
    counts = {word: sum(one.verdict == word for one in tested) for word in words.SYMBOLS}
    said = wording.listed(f"{count} {word}" for word, count in counts.items() if count)
    caption = (
        "**The claims, by effect.** Each mark is an estimate with its interval: the distance from no effect, positive "
        "in the direction that the post predicts, in units of the smallest effect that counts (1, dashed). For a claim "
        "that something does *not* matter, it is the distance left to the equivalence margin, in units of that margin."
        " A filled mark is a claim that holds or is contradicted. The symbols on the right are the verdicts: "
        f"{wording.listed(f'{symbol} {word}' for word, symbol in words.SYMBOLS.items() if counts[word])}. A mark with "
        "an arrow at an edge lies beyond that edge."
    )
    alt = f"A forest plot of {wording.plural(len(claims), 'claim')} on {wording.listed(models)}: {said}. " + " ".join(
        f"{one.claim} on {one.model}: {one.verdict}." for one in tested
    )
    return Drawing(figure, caption, alt, READS)
