"""What the stage `claims` writes: rows of its two tables, a Markdown page (claims.md) and JSON data (claims.json)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from plateaus.judging.agreement import across
from plateaus.judging.interface import Rules
from plateaus.judging.verdicts import Judgement, minimal_effect, number, orient, p_text
from plateaus.judging.words import SYMBOLS

WORST = 3
"""Number of counter-examples that are listed."""


def claim_rows(judged: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Return the rows of the table `claims`: per claim and model, the primary measure, then the further measures."""
    rows = []
    for one in judged:
        blank = {
            "model": one.model,
            "claim": one.claim.id,
            "effect_size": math.nan,
            "p": math.nan,
            "p_adjusted": math.nan,
            "verdict": "",
            "reason": "",
            "sentence": "",
        }
        found = one.finding
        rows.append(
            blank
            | {
                "measure": one.claim.measure,
                "primary": True,
                "estimate": math.nan if found is None else found.estimate,
                "ci_low": math.nan if found is None else found.low,
                "ci_high": math.nan if found is None else found.high,
                "effect_size": math.nan if found is None else found.effect_size,
                "p": math.nan if found is None else found.p,
                "p_adjusted": one.p_adjusted,
                "n": 0 if found is None else found.n,
                "verdict": one.verdict,
                "reason": one.reason,
                "sentence": one.sentence,
            }
        )
        for further in () if found is None else found.secondary:
            rows.append(
                blank
                | {
                    "measure": further.measure,
                    "primary": False,
                    "estimate": further.estimate,
                    "ci_low": further.low,
                    "ci_high": further.high,
                    "n": further.n,
                }
            )
    return rows


def value_rows(judged: Sequence[Judgement], pooled: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the rows of the table `claim_values`: the value of the primary measure for every pair.

    Args:
        judged: All claims and models.
        pooled: Model to the pairs that are pooled. The values of other pairs are written too, for figures to show.
    """
    return [
        {
            "model": one.model,
            "claim": one.claim.id,
            "pair": pair,
            "value": value,
            "x": one.finding.x.get(pair, math.nan),
            "pooled": pair in set(pooled[one.model]),
        }
        for one in judged
        if one.finding is not None
        for pair, value in sorted(one.finding.values.items())
        if math.isfinite(value)
    ]


def counter_examples(one: Judgement, pooled: Sequence[str]) -> list[tuple[str, float]]:
    """Return the pooled pairs, with values, that speak most against what the post says, the strongest first.

    The list is empty for a claim about a relation over pairs or about a share, because no single pair can be a
    counter-example to it.
    """
    if one.finding is None or one.finding.x or one.finding.statistic == "share":
        return []
    values = [
        (pair, one.finding.values[pair]) for pair in pooled if math.isfinite(one.finding.values.get(pair, math.nan))
    ]
    sign = one.claim.expected

    def support(item: tuple[str, float]) -> float:
        return sign * item[1] if sign else -abs(item[1] - one.claim.null)

    return sorted(values, key=lambda item: (support(item), item[0]))[:WORST]


def as_json(
    judged: Sequence[Judgement], pooled: Mapping[str, Sequence[str]], rules: Rules, random: Collection[str] = ()
) -> dict[str, Any]:
    """Return all rules and verdicts as JSON data; numbers that are not finite become null.

    Args:
        judged: All claims and models.
        pooled: Model to the pairs that are pooled.
        rules: The decision rules.
        random: Ids of the models with random weights, which have no part in the agreement across models.
    """
    claims = []
    for one in judged:
        found = one.finding
        entry: dict[str, Any] = {
            "model": one.model,
            "claim": one.claim.id,
            "title": one.claim.title,
            "says": one.claim.says,
            "measure": one.claim.measure,
            "figure": one.claim.figure,
            "verdict": one.verdict,
            "reason": one.reason,
            "sentence": one.sentence,
            "minimal_effect": minimal_effect(one.claim, rules),
            "expected": one.claim.expected,
            "null": one.claim.null,
        }
        if found is not None:
            entry |= {
                "statistic": found.statistic,
                "estimate": found.estimate,
                "interval": [found.low, found.high],
                "effect_size": found.effect_size,
                "p": found.p,
                "p_adjusted": one.p_adjusted,
                "n": found.n,
                "second_condition": {"state": found.side.state, "text": found.side.text},
                "oriented": dict(orient(one.claim, found)._asdict()),
                "secondary": [dict(further._asdict()) for further in found.secondary],
                "counter_examples": [
                    {"pair": pair, "value": value} for pair, value in counter_examples(one, pooled[one.model])
                ],
            }
        claims.append(entry)
    agreement = {one.claim: {**one._asdict(), "sentence": one.sentence} for one in across(judged, random, rules)}
    told = {**rules._asdict(), "minimal_effects": dict(rules.minimal_effects)}
    whole = {"rules": told, "claims": claims, "agreement": agreement}
    cleaned: dict[str, Any] = _finite(whole)
    return cleaned


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def as_markdown(
    judged: Sequence[Judgement], pooled: Mapping[str, Sequence[str]], rules: Rules, random: Collection[str] = ()
) -> str:
    """Return all verdicts as Markdown; the arguments are those of `as_json`.

    If there are several trained models, it begins with a line per claim on how far they agree. Then each model has a
    table, and a paragraph per claim.
    """
    lines = [
        "# Claims",
        "",
        f"The tests have level {rules.alpha:g} after a Benjamini-Hochberg correction over all claims and models below "
        f"that were tested. The {100 * (1 - rules.alpha):g} % intervals come from {rules.resamples} draws of a "
        "bootstrap over words and contexts. The smallest effect that counts is fixed for every claim in the config.",
    ]
    agreed = across(judged, random, rules)
    if agreed:
        lines += ["", "## Across models", "", *(f"- {one.sentence}" for one in agreed)]
    for model in dict.fromkeys(one.model for one in judged):
        mine = [one for one in judged if one.model == model]
        lines += [
            "",
            f"## {model}",
            "",
            "| claim | | verdict | estimate | interval | p, adjusted | n | smallest effect |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(one, rules) for one in mine),
            "",
        ]
        for one in mine:
            lines += _paragraph(one, pooled[model])
    return "\n".join(lines).rstrip() + "\n"


def _line(one: Judgement, rules: Rules) -> str:
    cells = [one.claim.id, one.claim.title, f"{SYMBOLS[one.verdict]} {one.verdict}"]
    if one.finding is None:
        cells += [""] * 5
    else:
        found = one.finding
        cells += [
            number(found.estimate),
            f"{number(found.low)} to {number(found.high)}",
            p_text(one.p_adjusted).removeprefix("p = ").removeprefix("p "),
            str(found.n),
            number(minimal_effect(one.claim, rules)),
        ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _paragraph(one: Judgement, pooled: Sequence[str]) -> list[str]:
    lines = [f"**{one.claim.id}, {one.claim.title}.** {one.claim.says}", "", one.sentence, ""]
    if one.finding is not None:
        for further in one.finding.secondary:
            known = math.isfinite(further.low)
            interval = f" ({number(further.low)} to {number(further.high)})" if known else ""
            lines.append(f"- {further.measure}: {number(further.estimate)}{interval}, n = {further.n}")
        worst = counter_examples(one, pooled)
        if worst:
            lines.append(f"- pairs most against it: {', '.join(f'{pair} ({number(x)})' for pair, x in worst)}")
        lines.append("")
    return lines
