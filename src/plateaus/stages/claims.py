"""claims: test every claim of the post on every model and write the verdicts, without loading a model."""

from __future__ import annotations

import json
from typing import Any

from plateaus.claims import registry
from plateaus.data import tables
from plateaus.data.canonical import digest
from plateaus.data.results import Results, table_path
from plateaus.data.tables import atomic_path
from plateaus.judging import testing, written
from plateaus.judging.interface import Rules
from plateaus.judging.verdicts import judge
from plateaus.judging.words import NOT_TESTED
from plateaus.run.code_inputs import code_digest
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def rules_of(slice_: dict[str, Any]) -> Rules:
    """Return the decision rules of a claims slice."""
    return Rules(**{name: slice_[name] for name in Rules._fields})


def models_of(slice_: dict[str, Any]) -> testing.Models:
    """Return the models of a claims slice, with their controls and roles."""
    return testing.Models(
        tuple(slice_["models"]), slice_["controls"], frozenset(slice_["random"]), slice_["without_layernorm"]
    )


def claims(job: Job) -> None:
    """Write the tables `claims` and `claim_values`, and claims.md and claims.json at the top of the run's results.

    Raises:
        InputError: the config names a claim that does not exist or cannot be used.
    """
    rules, models = rules_of(job.slice), models_of(job.slice)
    modules = registry.chosen(job.slice["tests"], job.slice["folder"])
    source = testing.from_results(Results(job.root, models.names, job.slice["shards"]))
    tested = testing.run_all(
        modules, source, models, trace_layer=job.slice["trace_layer"], rules=rules, progress=job.progress
    )
    judged = judge(tested, rules)
    pooled = {model: testing.pooled_of(source, model, rules) for model in models.names}
    with atomic_path(job.root / "claims.md") as path:
        path.write_text(written.as_markdown(judged, pooled, rules, models.random), encoding="utf-8")
    with atomic_path(job.root / "claims.json") as path:
        found = written.as_json(judged, pooled, rules, models.random)
        path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    metadata = {"parameters": digest(job.slice), "code": code_digest(job.stage)}
    for table, rows in (
        (tables.CLAIM_VALUES, written.value_rows(judged, pooled)),
        (tables.CLAIMS, written.claim_rows(judged)),
    ):
        columns = {name: [row[name] for row in rows] for name in table.columns}
        tables.write(table_path(job.root, "all", table, "all"), table, columns, metadata)
    seen = sum(one.verdict != NOT_TESTED for one in judged)
    job.progress(f"{seen} of {len(judged)} claims on models were tested")


if __name__ == "__main__":
    run("claims", claims)
