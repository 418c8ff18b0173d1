"""figures: draw every figure of every model from the tables, as SVG and PNG."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from plateaus.curves.sharpness import Rule
from plateaus.figures import About, Settings, drawn
from plateaus.run import provenance
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def settings_of(slice_: dict[str, Any], model_folders: Mapping[str, str]) -> Settings:
    """Return the figure settings of a figures slice, with each model's number of parameters taken from its card."""
    sizes = {model: card["parameters"] for model, card in provenance.cards(model_folders).items()}
    return Settings(
        pairs=tuple(slice_["pairs"]),
        depths=tuple(slice_["depths"]),
        dpi=slice_["dpi"],
        colormap=slice_["colormap"],
        trace_layer=slice_["trace_layer"],
        rule=Rule(**{name: slice_[name] for name in Rule._fields}),
        models={
            model: About(**{**told, "controls": tuple(told["controls"])}, parameters=sizes.get(model, 0))
            for model, told in slice_["about"].items()
        },
        mapped=tuple(slice_["mapped"]),
        robust=tuple(slice_["robust"]),
    )


def figures(job: Job) -> None:
    """Draw every figure into `results/<run>/figures/<model>/`, then write the table of figures."""
    settings = settings_of(job.slice, job.extra["model_folders"])
    shutil.rmtree(job.root / "figures", ignore_errors=True)
    rows: list[dict[str, Any]] = []
    this = drawn.Run(job.root, tuple(job.slice["models"]), tuple(job.slice["shards"]), settings)
    for task, row in drawn.draw_all(this, job.threads):
        job.progress(f"{task.figure} {task.model if task.model != drawn.ALL else ''}".rstrip())
        rows.append(row)
    from plateaus.data.canonical import digest
    from plateaus.run.code_inputs import code_digest

    drawn.write(job.root, rows, {"parameters": digest(job.slice), "code": code_digest(job.stage)})


if __name__ == "__main__":
    run("figures", figures)
