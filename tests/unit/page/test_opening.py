"""The first screen: its numbers are those of the tables, it counts the verdicts, and each mark leads to its claim."""

from __future__ import annotations

import json
import re
from statistics import median

import pytest

from plateaus.page import opening
from tests.unit.figures.test_x01_suite import MEMBERS, NATURAL, make, settings, strength

VERDICTS = {"C0": "not seen", "C1": "holds", "C2": "holds", "C8": "contradicted", "C6": "not tested"}


@pytest.fixture
def results(tmp_path):
    found = make(tmp_path)
    entries = [
        {"model": model, "claim": claim, "verdict": verdict if model == "m" else "holds", "title": f"{claim} <so>"}
        for model in ("m", "n")
        for claim, verdict in VERDICTS.items()
    ]
    (tmp_path / "claims.json").write_text(json.dumps({"rules": {}, "claims": entries}))
    return found


def share(model: str, pair: str) -> float:
    return 1 - strength(model, pair, "logits")


def test_the_answer_has_the_medians_the_most_abrupt_pair_and_the_verdicts(results):
    said = opening.answer(results, settings())
    natural = MEMBERS[NATURAL]
    assert f"**{median(share('m', pair) for pair in natural):.0%}**" in said
    assert f"with random weights within {median(share('m-random', pair) for pair in natural):.0%}." in said
    assert f"Over {len(natural)} pairs of words" in said
    assert f": {min(share('m', pair) for pair in natural):.0%}." in said
    assert said.endswith("Of 5 claims, 2 hold, 1 is not seen, 1 is contradicted and 1 is not tested.")


def test_each_mark_leads_to_its_claim_and_is_said_aloud(results):
    made = opening.strip(results, lambda claim: f"sec-{claim.lower()}")
    assert re.findall(r'href="#sec-(c\d+)"', made) == [claim.lower() for claim in VERDICTS]
    assert made.count("<li>") == len(VERDICTS)
    assert '✔</span> C1 &lt;so&gt;<span class="aloud">: holds</span>' in made
    assert 'aria-label="Verdicts on m"' in made


def test_without_a_trained_model_or_verdicts_little_is_said(tmp_path):
    found = make(tmp_path, models=("m-random",))
    only = settings(models=("m-random",))
    assert opening.answer(found, only) == "This run has no trained model, so there is nothing to answer."
    (tmp_path / "claims.json").write_text(json.dumps({"rules": {}, "claims": []}))
    assert opening.strip(found, str) == ""
