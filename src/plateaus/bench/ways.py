"""The two ways of doing the same work: the commands of each stage, and the folders that they write to."""

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
    """The run that is measured.

    Attributes:
        config: The resolved config, with one shard and without a suite.
        model: Id of the model.
        folder: `results/bench`.
        threads: Number of threads of every process.
        share: The usual way computes Jacobians at every `share`-th step only, and the time is scaled up.
    """

    config: Config
    model: str
    folder: Path
    threads: int
    share: int

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the prompt table."""
        return sampling.pairs_of(self.config["prompts"])

    @property
    def shard(self) -> str:
        """Name of the only shard."""
        return next(iter(split(self.pairs, 1)))

    @property
    def settings(self) -> Settings:
        """The settings that determine the work, with layers counted from the first one.

        Raises:
            InputError: the fetched model is incomplete.
        """
        shape = shape_of(self.config, self.model, MODELS_FOLDER)
        if shape is None:
            raise InputError(f"model {self.model}: {self.model_folder} is incomplete: delete it and run again")
        return Settings.of(self.config, self.model, shape)

    @property
    def model_folder(self) -> Path:
        """The folder of the fetched model."""
        return MODELS_FOLDER / model_key(self.config, self.model)

    @property
    def ours(self) -> Path:
        """The folder that our stages write to, laid out as `results/<run>`."""
        return self.folder / "ours"

    @property
    def usual(self) -> Path:
        """The folder that the usual way writes to."""
        return self.folder / "usual"

    def log(self, name: str) -> Path:
        """Return the path of the log of one process."""
        return self.folder / "logs" / f"{name}.log"


class Measured(NamedTuple):
    """One measurement of one stage in one way; see also `processes.Taken`.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Processor time, seconds.
        memory: Peak resident memory, bytes.
        disk: Size of all files written, bytes.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    disk: float


def fetch(run: Run) -> None:
    """Make the model's folder with the stage fetch, if it does not exist yet."""
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
    """Check that the usual way supports the architecture of the model.

    Raises:
        InputError: attention and MLP are parallel, which the usual way does not support.
    """
    shape = shape_of(run.config, run.model, MODELS_FOLDER)
    if shape is not None and shape.parallel:
        raise InputError(
            f"model {run.model}: its attention and MLP read the same vector, which the usual way of the bench does not "
            "support: put another model first in the config"
        )


def clear(run: Run) -> None:
    """Delete the files of earlier measurements."""
    for folder in (run.ours, run.usual):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def ours(run: Run, stage: str) -> Measured:
    """Measure one of the workflow's stages, with the command of its rule."""
    if stage == "extract":
        made = slices.extract_slice(run.config, run.model, run.pairs)
    else:
        made = slices.stage_slice(run.config, stage, run.model)
    extra = {"--extra": canonical_json({"prompts": run.config["prompts"]})} if stage == "extract" else {}
    taken = processes.run(_command(run, stage, made, {"--shard": run.shard, **extra}), run.log(f"ours-{stage}"))
    written = sum(file.stat().st_size for file in (run.ours / "data" / run.model).glob(f"{stage}/*.parquet"))
    return Measured(taken.seconds, taken.cpu_seconds, taken.memory, written)


def usual(run: Run, stage: str) -> Measured:
    """Measure a stage the usual way (`plateaus.bench.usual`); the time of a sampled stage is scaled to all steps."""
    of_run = run.settings
    settings = {
        **{name: getattr(of_run, name) for name in ("centre", "steps", "layers", "trace_layer", "conditions")},
        "freeze_layers": of_run.freeze_layers,
        "path": run.config["interpolate"]["path"],
        "pairs": run.pairs,
        "bos": run.config["models"][run.model]["bos"],
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


def start_up(run: Run) -> float:
    """Measure the seconds that a process of either way takes for its imports and for loading the model."""
    code = (
        "import os, sys, pathlib, torch; from plateaus.sources.quiet import go_offline; go_offline(); "
        "from plateaus.model.transformer import Transformer; torch.set_num_threads(int(sys.argv[2])); "
        "Transformer.load(pathlib.Path(sys.argv[1])); os._exit(0)"
    )
    return processes.run(["-c", code, str(run.model_folder), str(run.threads)], run.log("start-up")).seconds


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
