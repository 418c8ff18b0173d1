"""The sections of the claims: what the post says, the verdict on every model, and the values behind it."""

from __future__ import annotations

import re
from typing import Any

from plateaus.drawing import wording
from plateaus.judging import words
from plateaus.judging.judged import Judged, Verdicts


def address(claim: str) -> str:
    """Return the id of a claim's section."""
    return "sec-claim-" + re.sub(r"[^A-Za-z0-9]+", "-", claim).lower()


def said_once(found: Verdicts) -> dict[tuple[str, str], list[str]]:
    """Return the claims that are not tested on a model for one and the same reason, by model and reason.

    They are said together, before the sections. A claim that no model tested is not among them, so that its own section
    says why.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found.judged:
        if not one.tested and any(other.tested for other in found.of(one.claim)):
            groups.setdefault((one.model, str(one.entry["reason"])), []).append(one.claim)
    return {key: claims for key, claims in groups.items() if len(claims) > 1}


def untested(found: Verdicts) -> str:
    """Return one sentence per model and reason about the claims of `said_once`, as Markdown; empty if there is none."""
    return "\n\n".join(
        f"On `{model}`, {wording.listed(claims)} are not tested: {wording.escape(reason)}."
        for (model, reason), claims in said_once(found).items()
    )


def text(claim: str, found: Verdicts) -> str:
    """Return the Markdown of a claim's section, without its figure."""
    of_claim = found.of(claim)
    entry = of_claim[0].entry
    elsewhere = {(one, model) for (model, _), claims in said_once(found).items() for one in claims}
    lines = [f"## {claim}: {wording.escape(str(entry['title']))} {{#{address(claim)}}}\n"]
    lines.append(f"**What the post says.** {wording.escape(str(entry['says']))}\n")
    for one in of_claim:
        if (claim, one.model) not in elsewhere:
            lines += _verdict(one)
    return "\n".join(lines) + "\n"


def _verdict(one: Judged) -> list[str]:
    first = f"- {words.SYMBOLS[one.verdict]} `{one.model}`: {wording.escape(str(one.entry['sentence']))}"
    return [first, *(f"    - {wording.escape(_further(further))}" for further in one.entry.get("secondary", []))]


def _further(one: dict[str, Any]) -> str:
    """Describe a secondary measure of a claim in words."""
    numbers = ("unknown" if one[name] is None else wording.number(one[name]) for name in ("estimate", "low", "high"))
    estimate, low, high = numbers
    interval = "" if low == "unknown" else f" (interval {low} to {high})"
    return f"{one['measure']}: {estimate}{interval}, {wording.plural(one['n'], 'pair')}"
