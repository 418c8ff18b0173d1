"""fetch: put a model's weights and tokenizer into a local folder, with a card that says what they are.

The only stage that may ask the network, and only for a model of `source: hub`.
"""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path

from plateaus import bfloat16, embedded, weights
from plateaus.stages.runner import Job, run


def fetch(job: Job) -> None:
    """Make `job.model_folder` from the slice's source; the card is written last, so it stands for a whole folder."""
    from plateaus.quiet import go_offline

    folder, source = job.model_folder, job.slice
    if source["source"] != "hub":
        go_offline()
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    building.mkdir(parents=True)
    commit = None
    try:
        match source["source"]:
            case "embedded":
                job.progress("dequantising SmolLM2-135M from its GGUF file, once")
                embedded.make(building)
                name, licence = embedded.NAME, "Apache-2.0"
            case "random":
                like = Path(job.extra["like_folder"])
                job.progress(f"initialising the architecture of {like.name} with seed {source['seed']}")
                weights.make_random(building, like, source["seed"])
                card = json.loads((like / "card.json").read_text(encoding="utf-8"))
                name, licence = (
                    f"random weights (seed {source['seed']}), architecture of {card['name']}",
                    "none needed",
                )
            case "hub":
                # Imported here, because huggingface_hub reads HF_HUB_OFFLINE when it is imported.
                from plateaus import hub

                found = hub.get(job.model, source["id"], source["revision"], folder, job.progress)
                go_offline()
                weights.make_linked(building, found.paths)
                weights.check_local(building, job.model)
                name, licence, commit = source["id"], found.licence, found.commit
            case _:
                weights.check_local(Path(source["path"]), job.model)
                job.progress(f"linking {source['path']}")
                weights.make_local(building, Path(source["path"]))
                name, licence = Path(source["path"]).name, "unknown"
        if source.get("storage") == "bfloat16":
            job.progress("rounding the weights to bfloat16")
            bfloat16.store(building)
        weights.check_layernorm(building, source.get("layernorm") == "removed", job.model)
        card = weights.describe(building, name, source, licence, commit)
        _move_in(building, folder, json.dumps(card, indent=2, sort_keys=True) + "\n")
    finally:
        shutil.rmtree(building, ignore_errors=True)
    job.progress(f"{card['parameters'] / 1e6:.0f} million parameters, {card['layers']} layers, {card['architecture']}")


def _move_in(building: Path, folder: Path, card: str) -> None:
    """Move all files to where they belong, the card last."""
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
