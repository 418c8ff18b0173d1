"""fetch: put a model's weights and tokenizer into a local folder, with a card that describes them.

This is the only stage that may access the network, and only for a model with `source: hub`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plateaus.data.temporary import name_beside
from plateaus.model import bfloat16
from plateaus.sources import card, checks, embedded, refusals
from plateaus.sources.folder import make_linked, make_local, make_random
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def make_model(
    model: str,
    source: Mapping[str, Any],
    folder: Path,
    *,
    like_folder: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Make a model folder. Its card is written last, so a folder that has a card is complete.

    Args:
        model: Id of the model.
        source: The fetch stage's slice of the config, which says where the weights come from.
        folder: The folder to make; what it held before is replaced.
        like_folder: For random weights, the folder of the model whose architecture they copy.
        progress: Called with a line of text before each step.

    Returns:
        The card.

    Raises:
        InputError: the model that the source names is not available, or is of a kind that cannot be used.
    """
    from plateaus.sources.quiet import go_offline

    if source["source"] != "hub":
        go_offline()
    building = name_beside(folder)
    building.mkdir(parents=True)
    commit = None
    try:
        match source["source"]:
            case "embedded":
                which = source.get("name", embedded.DEFAULT)
                progress(embedded.licence_line(which))
                progress(f"dequantising {embedded.MODELS[which].title} from its GGUF file (done once)")
                embedded.make(building, which)
                name, licence = embedded.MODELS[which].name, embedded.MODELS[which].licence
            case "random":
                assert like_folder is not None
                progress(f"initialising the architecture of {like_folder.name} with seed {source['seed']}")
                make_random(building, like_folder, source["seed"])
                like = json.loads((like_folder / "card.json").read_text(encoding="utf-8"))["name"]
                name, licence = f"random weights (seed {source['seed']}), architecture of {like}", "none needed"
            case "hub":
                # Imported here, because huggingface_hub reads HF_HUB_OFFLINE only when it is imported.
                from plateaus.sources import hub

                found = hub.get(model, source["id"], source["revision"], folder, progress)
                go_offline()
                make_linked(building, found.paths)
                checks.check_local(building, model)
                name, licence, commit = source["id"], found.licence, found.commit
            case _:
                checks.check_local(Path(source["path"]), model)
                refusals.check_config(Path(source["path"]), model)
                progress(f"linking {source['path']}")
                make_local(building, Path(source["path"]))
                name, licence = Path(source["path"]).name, "unknown"
        if source.get("storage") == "bfloat16":
            progress("rounding the weights to bfloat16")
            bfloat16.store(building)
        checks.check_layernorm(building, source.get("layernorm") == "removed", model)
        described = card.describe(building, name, dict(source), licence, commit)
        _move_in(building, folder, json.dumps(described, indent=2, sort_keys=True) + "\n")
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return described


def fetch(job: Job) -> None:
    """Make `job.model_folder` from the source that the slice names."""
    like = job.extra.get("like_folder")
    made = make_model(job.model, job.slice, job.model_folder, like_folder=like and Path(like), progress=job.progress)
    job.progress(f"{made['parameters'] / 1e6:.0f} million parameters, {made['layers']} layers, {made['architecture']}")


def _move_in(building: Path, folder: Path, card: str) -> None:
    """Replace all files in `folder` by those in `building`, and write the card last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").unlink(missing_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for path in sorted(building.iterdir()):
        path.replace(folder / path.name)
    (building / "card.json").write_text(card, encoding="utf-8")
    (building / "card.json").replace(folder / "card.json")


if __name__ == "__main__":
    run("fetch", fetch)
