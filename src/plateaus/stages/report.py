"""report: render the Quarto project into one page, with the results of this run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from plateaus.config.stages import follows
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.data.tables import atomic_path
from plateaus.errors import InputError
from plateaus.figures import drawn
from plateaus.page import dag, notebook
from plateaus.render import render
from plateaus.run import provenance
from plateaus.sources import bos
from plateaus.stages.figures import settings_of
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def context(job: Job) -> dict[str, Any]:
    """Return what the page's cells need to know: where the tables are, what to show, and the provenance of the run."""
    config, figures = job.slice["config"], job.slice["figures"]
    keys = [folder.rsplit("-", 1)[1] for folder in job.extra["model_folders"].values()]
    return {
        "results": str(job.root.resolve()),
        "models": figures["models"],
        "shards": figures["shards"],
        "settings": settings_of(figures, job.extra["model_folders"])._asdict(),
        "title": config["report"]["title"],
        "config": config,
        "stages": provenance.records(job.root, figures["models"], [*figures["shards"], *keys]),
        "cards": provenance.cards(job.extra["model_folders"]),
        "bos": {
            model: bos.text_of(Path(folder), config["models"][model]["bos"], model)
            for model, folder in job.extra["model_folders"].items()
        },
        "versions": provenance.versions(),
        "environment": provenance.environment(),
    }


def report(job: Job) -> None:
    """Write `results/<run>/report/index.html` and `results/<run>/provenance.json`.

    Raises:
        InputError: a figure that the table of figures lists is missing, or the table of a model's self-check.
    """
    drawn.check(job.root)
    for model in job.slice["figures"]["models"]:
        path = table_path(job.root, model, tables.SELFCHECK, "all")
        if not path.is_file():
            raise InputError(f"{path} is missing, which the first job that uses a model writes: --forcerun extract")
    told = context(job)
    page = job.root / "report" / "index.html"
    with tempfile.TemporaryDirectory(prefix="plateaus-report-") as temporary:
        folder = Path(temporary)
        told["dag"] = str(folder / "dag.svg")
        dag.save(dag.draw(follows(told["config"])), folder / "dag.svg")
        (folder / "context.json").write_text(json.dumps(told), encoding="utf-8")
        job.progress("running the page's cells and rendering it")
        renderer = render(
            Path(job.extra["source"]),
            page,
            renderer=told["config"]["report"]["renderer"],
            env={notebook.VARIABLE: str(folder / "context.json")},
            metadata={"title": told["title"]},
        )
    del told["dag"]
    with atomic_path(job.root / "provenance.json") as path:
        path.write_text(json.dumps({**told, "renderer": renderer}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    job.progress(f"rendered by {renderer}, {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run("report", report)
