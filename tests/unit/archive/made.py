"""A folder with a small workflow and a made-up finished run in it, for tests that need no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from plateaus.archive import runs, source
from plateaus.config.reading import load_schema, resolve
from plateaus.data import tables
from plateaus.data.results import table_path

ROOT = Path(__file__).parents[3]
SHARD = "s0-of-1"
CONFIG = {
    "run": "small",
    "models": {"m": {"source": "local", "path": "model"}, "m-random": {"source": "random", "like": "m"}},
    "prompts": {"table": "pairs.tsv"},
}


def row(table: tables.Table) -> dict[str, object]:
    """Return one row of a table, in columns."""
    values = {
        tables.VECTOR: np.ones((1, 3)),
        tables.WORD: ["x"],
        pa.string(): ["x"],
        pa.bool_(): [True],
        pa.binary(): [b"x"],
    }
    found = {name: values.get(kind, [0.25] if kind == tables.MEASURE else [0]) for name, kind in table.columns.items()}
    return found | ({"site": ["logits"]} if table is tables.SHARPNESS else {})


def run(folder: Path) -> Path:
    """Write a workflow's files and a finished run of two models into a folder, and return the run's folder."""
    for name in source.NEEDED:
        shutil.copy2(ROOT / name, folder / name)
    (folder / "pairs.tsv").write_text("id\tcontext\ta\tb\ttags\nx\tThe house was\tbig\tin\t\n", encoding="utf-8")
    (folder / "weights.safetensors").write_text("large\n", encoding="utf-8")
    (folder / "tools").mkdir()
    (folder / "tools" / "a name.py").write_text("print('a program')\n", encoding="utf-8")
    root = folder / "results" / "small"
    for table in tables.TABLES.values():
        if table.stage == "robustness":
            continue  # this config asks for none
        for model in ("all",) if table.stage in runs.OF_ALL else ("m", "m-random"):
            columns = row(table) | (
                {"figure": ["f01_method"], "model": ["all"], "tables": [""]} if table is tables.FIGURES else {}
            )
            tables.write(table_path(root, model, table, SHARD if table.sharded else "all"), table, columns, {})
    config = resolve(CONFIG, load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml"))
    card = {"name": "a model", "licence": "Apache-2.0", "weights_sha256": "0" * 64}
    told = {"config": config, "models": list(config["models"]), "shards": [SHARD], "results": str(root.resolve())}
    told |= {"cards": dict.fromkeys(config["models"], card), "versions": {"snakemake": "9.0.0"}, "environment": {}}
    for name in (
        "report/index.html",
        "claims.md",
        "figures/f01_method.svg",
        "figures/f01_method.png",
        "figures/old.svg",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"this is {name}\n", encoding="utf-8")
    entry = {"model": "m", "claim": "C1", "verdict": "holds", "estimate": 0.4, "n": 30}
    (root / "claims.json").write_text(json.dumps({"rules": {}, "claims": [entry]}), encoding="utf-8")
    (root / "provenance.json").write_text(json.dumps(told), encoding="utf-8")
    return root
