# Needs: the config. Makes: nothing; defines what all rules share (validated config, paths, slices, code inputs).
import re
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
# As a module of another workflow, the base folder is that workflow's, so the place of this file counts.
ROOT = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from plateaus.claims import registry
from plateaus.config import slices
from plateaus.config.models import model_key
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.data import tables, temporary
from plateaus.data.canonical import canonical_json
from plateaus.data.results import table_path
from plateaus.errors import InputError, from_system
from plateaus.model import accelerators
from plateaus.plan import threads as thread_count
from plateaus.prompts import sampling
from plateaus.prompts.pairs import checked_pair, split
from plateaus.run import (
    code_inputs,
    job_environment,
    lock,
    memory,
    precheck,
    queue,
    records,
    repository,
    requests,
    terminal,
    warm,
)

job_environment.prepare(ROOT / "src")
REPOSITORY = repository.Repository.at(ROOT)
terminal.only_say_once()

# A config file that names models is used alone; a config without models overrides keys of the default config.
if "models" not in config:

    configfile: str(REPOSITORY.path("config/config.yaml"))


try:
    CONFIG = REPOSITORY.anchored(resolve(config, load_schema(ROOT / SCHEMA)))
    PAIRS = sampling.pairs_of(CONFIG["prompts"])
    SHARDS = split(PAIRS, CONFIG["prompts"]["shards"])
    RESULTS = Path("results") / CONFIG["run"]
    OWN_CLAIMS = registry.files_in(CONFIG["claims"]["folder"])
    MODELS_FOLDER = Path("resources/models")
    if workflow.is_main_process:
        precheck.check_run(CONFIG, PAIRS, MODELS_FOLDER, RESULTS)
except InputError as error:
    sys.exit(f"error: {error}")
except OSError as error:
    sys.exit(f"error: {from_system(error)}")


# Used with --sdm apptainer only.
if CONFIG["compute"]["container"]:

    container: CONFIG["compute"]["container"]


def model_folder(model):
    return MODELS_FOLDER / model_key(CONFIG, model)


def model_folders():
    return {model: str(model_folder(model)) for model in CONFIG["models"]}


def card(wildcards):
    return model_folder(wildcards.model) / "card.json"


def code(stage):
    """Return the source files that a stage imports; editing one reruns the stage, touching it does not."""
    return [str(REPOSITORY.path(f"src/{name}")) for name in code_inputs.files_of(stage)]


def table(table, model="{model}", shard="{shard}"):
    return table_path(RESULTS, model, table, shard)


def memory_of(stage):
    """Return a function for the memory that jobs of a stage request, in MB, as the plan estimates it."""

    def megabytes(wildcards, attempt):
        model = getattr(wildcards, "model", "all")
        if LOCAL:
            return ROOM.megabytes(stage, model)
        return REQUESTS.megabytes(stage, model, attempt)

    return megabytes


def runtime_of(stage):
    """Return a function for the minutes that jobs of a stage request on a cluster; on this machine they take theirs."""

    def minutes(wildcards, attempt):
        model = getattr(wildcards, "model", "all")
        return None if LOCAL else REQUESTS.minutes(stage, model, attempt)

    return minutes


def pending():
    """Return the stages and models that have a missing result."""
    found = {
        ("fetch", model)
        for model in CONFIG["models"]
        if not (model_folder(model) / "card.json").is_file()
    }
    for stage in ("extract", *BETWEEN):
        for model in CONFIG["models"]:
            files = [
                table(one, model, shard) for one in tables_of(stage) for shard in SHARDS
            ]
            if not all(file.is_file() for file in files):
                found.add((stage, model))
    for model, files in MAPS.items():
        if not all(file.is_file() for file in files):
            found.add(("map", model))
    for model, file in ROBUSTNESS.items():
        if not file.is_file():
            found.add(("robustness", model))
    return found


# Whether the jobs run on this machine and share its memory; on a cluster each job requests its own. Snakemake reads this
# file again inside every job of a cluster, where LOCAL is false as well: what a job requests and how it is called must
# not depend on the machine on which this file is read.
LOCAL = workflow.is_main_process and workflow.nodes is None
# The GPUs of other machines are unknown, so there a job requests one only if the config asks for cuda; a job that has
# requested none must not take one that it happens to see.
DEVICE = CONFIG["compute"]["device"]
if DEVICE == "auto" and not LOCAL:
    DEVICE = "cpu"
ACCELERATORS = accelerators.names(DEVICE) if LOCAL else []
GPU = int(bool(ACCELERATORS) if LOCAL else DEVICE == "cuda")
THREADS = thread_count.of_job(
    CONFIG,
    workflow.resource_settings.cores if LOCAL else None,
    len(ACCELERATORS),
)
# Drawing takes seconds, so on a cluster it is not worth waiting for a node with several free cores.
DRAWING_THREADS = 4 if LOCAL else 1
if LOCAL and not ACCELERATORS and not workflow.dryrun:
    warm.offer()
BETWEEN = ("interpolate", "freeze", "jacobian", "spline", "sharpness")


def tables_of(stage):
    return [declared for declared in tables.TABLES.values() if declared.stage == stage]


def every(*stages):
    """Return all table files of some stages, over all models and shards."""
    return [
        table(declared, model, shard)
        for stage in stages
        for declared in tables_of(stage)
        for model in CONFIG["models"]
        for shard in SHARDS
    ]


CLAIMS = [table(declared, "all", "all") for declared in tables_of("claims")]
# The stages that a config can leave out.
MAPS = {
    model: [table(declared, model, "all") for declared in tables_of("map")]
    for model in slices.map_models(CONFIG)
}
ROBUSTNESS = {
    model: table(tables.ROBUSTNESS, model, "all")
    for model in slices.robust_models(CONFIG)
}


def log_of(stage, model="{model}", shard="all"):
    """Return the path of a stage's log, which plateaus.stages.runner writes."""
    return RESULTS / "logs" / model / stage / f"{shard}.log"


def fetch_files(wildcards):
    """Return the files a model is made from: those of a local folder, or the card of the `like` of a random model."""
    model = CONFIG["models"][wildcards.model]
    if model["source"] == "local":
        return sorted(path for path in Path(model["path"]).glob("*") if path.is_file())
    if model["source"] == "random":
        return [model_folder(model["like"]) / "card.json"]
    return []


def read_by_jobs():
    """Return the files that jobs read: tables, cards, the files of local models, and the package's source."""
    models = [
        path
        for told in CONFIG["models"].values()
        if told["source"] == "local"
        for path in Path(told["path"]).glob("*")
    ]
    cards = [model_folder(model) / "card.json" for model in CONFIG["models"]]
    return [
        *made_from(),
        *cards,
        *models,
        *REPOSITORY.path("src").rglob("*.*"),
        *REPOSITORY.path("report").rglob("*"),
    ]


def like_folder(model):
    like = CONFIG["models"][model].get("like")
    return {} if like is None else {"like_folder": str(model_folder(like))}


def call(wildcards, threads, **extra):
    """Return the arguments of a stage's command that say where and how to compute, but not what.

    Snakemake does not compare a parameter that is a function of `threads`, so changing these arguments reruns no job.
    """
    arguments = {"root": RESULTS, "threads": threads}
    arguments |= {
        "device": DEVICE,
        "memory-gb": ROOM.block_gb,
    }
    if hasattr(wildcards, "model"):
        arguments |= {
            "model": wildcards.model,
            "model-folder": model_folder(wildcards.model),
        }
    for name in ("shard", "key"):
        if hasattr(wildcards, name):
            arguments["shard"] = getattr(wildcards, name)
    if hasattr(wildcards, "shard"):
        # The pair on whose path each model is checked is the same in all shards.
        extra["check"] = list(checked_pair(PAIRS))
    if extra:
        arguments["extra"] = canonical_json(extra)
    return [
        part for name, value in arguments.items() for part in (f"--{name}", str(value))
    ]


def made_from():
    """Return, for every table file, the slice of the config that it should have been made from."""
    found = {
        table(tables.FIGURES, "all", "all"): slices.figures_slice(CONFIG, PAIRS, SHARDS)
    }
    found |= dict.fromkeys(CLAIMS, slices.claims_slice(CONFIG, SHARDS))
    for model in CONFIG["models"]:
        for shard, pairs in SHARDS.items():
            for stage in ("extract", *BETWEEN):
                made = (
                    slices.extract_slice(CONFIG, model, pairs)
                    if stage == "extract"
                    else None
                )
                for declared in tables_of(stage):
                    path = table(declared, model, shard)
                    found[path] = made or slices.stage_slice(CONFIG, stage, model)
    for model, paths in MAPS.items():
        found |= dict.fromkeys(paths, slices.map_slice(CONFIG, model, PAIRS))
    for model, path in ROBUSTNESS.items():
        found[path] = slices.robustness_slice(CONFIG, model, PAIRS)
    return found


try:
    ROOM = memory.room_of(
        CONFIG,
        PAIRS,
        MODELS_FOLDER,
        budget=memory.budget_of(CONFIG["compute"]["memory_gb"]) if LOCAL else None,
    )
    if LOCAL:
        memory.check(ROOM, pending(), CONFIG["compute"]["memory_gb"])
    else:
        REQUESTS = requests.requests_of(CONFIG, PAIRS, MODELS_FOLDER, THREADS)
except InputError as error:
    sys.exit(f"error: {error}")
except OSError as error:
    sys.exit(f"error: {from_system(error)}")
if LOCAL and "mem_mb" not in workflow.global_resources:
    workflow.register_resource("mem_mb", ROOM.megabytes_together())
if LOCAL and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", len(ACCELERATORS))

if workflow.is_main_process:
    try:
        precheck.check_records(made_from())
        if not workflow.dryrun:
            RUN_LOCK = lock.hold(RESULTS)
        # Not before: the tables of a run that is at work change.
        records.check_unchanged(made_from())
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {from_system(error)}")


wildcard_constraints:
    model="|".join(map(re.escape, CONFIG["models"])),
    key="[0-9a-f]{8}",
    shard=r"s\d+-of-\d+",
