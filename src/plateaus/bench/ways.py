"""The two ways of doing the same: the commands of each stage, and where what they write lies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.bench import processes
from plateaus.config import slices
from plateaus.config.models import model_key
from plateaus.config.reading import Config
from plateaus.data.canonical import canonical_json
from plateaus.errors import InputError
from plateaus.plan.shapes import shape_of
from plateaus.plan.storage import Settings
from plateaus.prompts import sampling
from plateaus.prompts.pairs import Pair, split
from plateaus.run.memory import BLOCKS_GB

MODELS_FOLDER = Path("resources/models")


class Run(NamedTuple):
    """What is measured.

    Attributes:
        config: Resolved, with one shard and without a suite.
        model: Id of its model.
        folder: `results/bench`.
        threads: Of every process.
        share: Of the usual way's Jacobians every `share`-th step is made, and its time is multiplied.
    """

    config: Config
    model: str
    folder: Path
    threads: int
    share: int

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the table."""
        return sampling.pairs_of(self.config["prompts"])

    @property
    def shard(self) -> str:
        """The one shard."""
        return next(iter(split(self.pairs, 1)))

    @property
    def settings(self) -> Settings:
        """What of the config the work follows from, layers counted from the front; of a fetched model."""
        shape = shape_of(self.config, self.model, MODELS_FOLDER)
        if shape is None:
            raise InputError(f"model {self.model}: {self.model_folder} is not whole: delete it and run again")
        return Settings.of(self.config, self.model, shape)

    @property
    def model_folder(self) -> Path:
        """The fetched model."""
        return MODELS_FOLDER / model_key(self.config, self.model)

    @property
    def ours(self) -> Path:
        """What the stages write to, as in `results/<run>`."""
        return self.folder / "ours"

    @property
    def usual(self) -> Path:
        """What the usual way writes to."""
        return self.folder / "usual"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.folder / "logs" / f"{name}.log"


class Measured(NamedTuple):
    """One stage, once, one way; seconds and bytes as of `processes.Taken`.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Processor time.
        memory: Peak, bytes.
        disk: Bytes of all files written.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    disk: float


def fetch(run: Run) -> None:
    """Have the model's folder, by the stage that makes it."""
    if (run.model_folder / "card.json").is_file():
        return
    extra = {}
    like = run.config["models"][run.model].get("like")
    if like is not None:
        extra = {"like_folder": str(MODELS_FOLDER / model_key(run.config, like))}
        fetch(run._replace(model=like))
    made = slices.fetch_slice(run.config, run.model)
    processes.run(_command(run, "fetch", made, {"--extra": canonical_json(extra)}), run.log("fetch"))


def check(run: Run) -> None:
    """Check that the usual way knows this kind of model.

    Raises:
        InputError: it does not.
    """
    shape = shape_of(run.config, run.model, MODELS_FOLDER)
    if shape is not None and shape.parallel:
        raise InputError(
            f"model {run.model}: its attention and MLP read the same vector, which the usual way of the bench does not "
            "know: put another model first in the config"
        )


def clear(run: Run) -> None:
    """Leave nothing of an earlier measurement."""
    for folder in (run.ours, run.usual):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def ours(run: Run, stage: str) -> Measured:
    """One of the workflow's stages, by the command of its rule."""
    if stage == "extract":
        made = slices.extract_slice(run.config, run.model, run.pairs)
    else:
        made = slices.stage_slice(run.config, stage, run.model)
    extra = {"--extra": canonical_json({"prompts": run.config["prompts"]})} if stage == "extract" else {}
    taken = processes.run(_command(run, stage, made, {"--shard": run.shard, **extra}), run.log(f"ours-{stage}"))
    written = sum(file.stat().st_size for file in (run.ours / "data" / run.model).glob(f"{stage}/*.parquet"))
    return Measured(taken.seconds, taken.cpu_seconds, taken.memory, written)


def usual(run: Run, stage: str) -> Measured:
    """The same stage the usual way (`plateaus.bench.usual`); a sampled stage's time is what all of it would take."""
    of_run = run.settings
    settings = {
        **{name: getattr(of_run, name) for name in ("centre", "steps", "layers", "trace_layer", "conditions")},
        "freeze_layers": of_run.freeze_layers,
        "path": run.config["interpolate"]["path"],
        "pairs": run.pairs,
        "share": run.share,
    }
    where = ["--model-folder", str(run.model_folder), "--work", str(run.usual), "--threads", str(run.threads)]
    command = ["-m", "plateaus.bench.usual", stage, *where, "--settings", canonical_json(settings)]
    taken = processes.run(command, run.log(f"usual-{stage}"), plain=True)
    told = json.loads(taken.said.splitlines()[-1])
    more = told["scale"] - 1
    return Measured(
        taken.seconds + more * told["seconds"],
        taken.cpu_seconds + more * told["cpu_seconds"],
        taken.memory,
        told["bytes"],
    )


def _command(run: Run, stage: str, made: Any, more: dict[str, str]) -> list[str]:
    compute = run.config["compute"]
    arguments = {
        "--slice": canonical_json(made),
        "--root": str(run.ours),
        "--threads": str(run.threads),
        "--device": compute["device"],
        "--memory-gb": str(BLOCKS_GB[0]),
        "--model": run.model,
        "--model-folder": str(run.model_folder),
        **more,
    }
    return ["-m", f"plateaus.stages.{stage}", *(part for item in arguments.items() for part in item)]
