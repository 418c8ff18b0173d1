"""figures: draw every figure of every model from the tables, as SVG and PNG."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateaus import figures as registry
from plateaus import provenance, tables
from plateaus.figures import claim, judged, style
from plateaus.results import table_path
from plateaus.sharpness import Rule
from plateaus.stages.runner import Job, run


def settings_of(slice_: dict[str, Any], model_folders: Mapping[str, str]) -> registry.Settings:
    """The figure settings of a figures slice, with the sizes that the models' cards tell."""
    sizes = {model: card["parameters"] for model, card in provenance.cards(model_folders).items()}
    return registry.Settings(
        pairs=tuple(slice_["pairs"]),
        depths=tuple(slice_["depths"]),
        dpi=slice_["dpi"],
        colormap=slice_["colormap"],
        trace_layer=slice_["trace_layer"],
        rule=Rule(**{name: slice_[name] for name in Rule._fields}),
        models={
            model: registry.About(**{**told, "controls": tuple(told["controls"])}, parameters=sizes.get(model, 0))
            for model, told in slice_["about"].items()
        },
    )


def figures(job: Job) -> None:
    """Draw into `results/<run>/figures/<model>/`; the table of what was drawn is written last."""
    settings = settings_of(job.slice, job.extra["model_folders"])
    results = judged.results_of(job.root, job.slice["models"], job.slice["shards"], settings.pairs)
    folder = job.root / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    rows: list[dict[str, Any]] = []
    for name, module in registry.FIGURES.items():
        models = results.models if module.PER_MODEL else ("all",)
        for model in models:
            job.progress(f"{name} {model if module.PER_MODEL else ''}".rstrip())
            drawing = registry.draw(name, results, results.models[0] if model == "all" else model, settings)
            place = folder / model if module.PER_MODEL else folder
            rows.append(_row(name, model, drawing, place, settings))
    for name in judged.verdicts(job.root).claims:
        with style.applied():
            drawing = claim.draw(results, name, settings)
        rows.append(_row(f"claim-{name}", "all", drawing, folder, settings))
    columns = {name: [row[name] for row in rows] for name in tables.FIGURES.columns}
    from plateaus.canonical import digest
    from plateaus.code_inputs import code_digest

    metadata = {"parameters": digest(job.slice), "code": code_digest(job.stage)}
    tables.write(table_path(job.root, "all", tables.FIGURES, "all"), tables.FIGURES, columns, metadata)


def _row(
    name: str, model: str, drawing: registry.Drawing | registry.LeftOut, folder: Path, settings: registry.Settings
) -> dict[str, Any]:
    """Save a figure; the row of the table of figures."""
    row = {"figure": name, "model": model, "drawn": False, "reason": "", "caption": "", "alt": "", "tables": ""}
    if isinstance(drawing, registry.LeftOut):
        return row | {"reason": drawing.reason}
    registry.save(drawing, folder, name, settings.dpi)
    names = " ".join(table.name for table in drawing.tables)
    return row | {"drawn": True, "caption": drawing.caption, "alt": drawing.alt, "tables": names}


if __name__ == "__main__":
    run("figures", figures)
