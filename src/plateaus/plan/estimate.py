"""The plan of a run: the cost of each stage of each model, and of the whole run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.config.models import model_key
from plateaus.config.reading import Config
from plateaus.config.slices import map_models, robust_models, robust_pairs
from plateaus.config.stages import FOLLOWS, follows
from plateaus.plan import calibration, flops, storage
from plateaus.plan.schedule import Job, Key, Schedule, simulate
from plateaus.plan.shapes import Shape, shape_of
from plateaus.plan.storage import PairSize, Settings
from plateaus.prompts import depth, triples
from plateaus.prompts.pairs import SUITE, Pair, split, tokenise_with_file
from plateaus.prompts.triples import Triple

AFTER_CURVES = ("freeze", "jacobian", "spline")
SHARD_STAGES = ("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness")
"""Stages with one job per model and shard."""
ALL = "all"
FLOAT64 = 2
"""How many operations in float32 take as long as one in float64."""


class Line(NamedTuple):
    """The cost of one stage of one model.

    Attributes:
        model: Id of the model, or `all` for stages over all models.
        stage: Name of the stage.
        jobs: Number of jobs.
        rows: Rows written, summed over the tables of the stage.
        flop: Floating-point operations, summed over the jobs.
        memory: Peak memory of the largest job, bytes.
        disk: Bytes written by all jobs.
        seconds: Time summed over the jobs; None without a measured speed.
        longest: Time of the longest job; None without a measured speed.
    """

    model: str
    stage: str
    jobs: int
    rows: int
    flop: float
    memory: float
    disk: float
    seconds: float | None
    longest: float | None = None


class Plan(NamedTuple):
    """The plan of a whole run.

    Attributes:
        lines: One line per model and stage, in the order of models and stages.
        unknown: Models whose shape is not known before they are fetched.
        unplanned: Stages that the cost model does not cover.
        schedule: Time and memory with several jobs side by side; None without a measured speed or a number of jobs.
    """

    lines: tuple[Line, ...]
    unknown: tuple[str, ...]
    unplanned: tuple[str, ...]
    schedule: Schedule | None


class _Cost(NamedTuple):
    """The cost of one job."""

    rows: int
    flop: float
    memory: float
    disk: float


def make(
    config: Config,
    pairs: Sequence[Pair],
    models_folder: Path,
    *,
    gflops: float | None,
    slots: int | None = 1,
    block_gb: float = 1.0,
) -> Plan:
    """Estimate the cost of a run.

    Args:
        config: The resolved config.
        pairs: The prompt pairs.
        models_folder: The folder of the fetched models.
        gflops: Measured speed of one job in GFLOP/s; None for a plan without times.
        slots: Number of jobs that run side by side; None for a plan without a schedule, whose simulation takes longest.
        block_gb: Memory for the intermediate results of a block of rows in a stage, GB.

    Returns:
        The plan. Models whose shape is unknown are listed in it and have no lines.

    Raises:
        InputError: a pair does not have a shared prefix and one last token in a tokenizer that is on this machine.
    """
    shards = split(pairs, config["prompts"]["shards"])
    lines: list[Line] = []
    jobs: list[Job] = []
    unknown = []
    for model, entry in config["models"].items():
        shape = shape_of(config, model, models_folder)
        if shape is None:
            unknown.append(model)
            continue
        settings = Settings.of(config, model, shape, block_gb)
        sizes = pair_sizes(config, model, pairs, settings, models_folder)
        fetch = _fetch(entry["source"], shape, narrow=settings.narrow)
        costs: dict[Key, _Cost] = {("fetch", model, ALL): fetch}
        check = _selfcheck(shape, settings, list(sizes.values()))
        for stage in SHARD_STAGES:
            for shard, members in shards.items():
                prompts = {pair.prompt(word) for pair in members for word in (pair.a, pair.b)}
                distinct = len(prompts) / (2 * len(members))
                own = [sizes[pair.id] for pair in members]
                if stage in AFTER_CURVES:
                    own = [size for size in own if stage in size.stages]
                cost = _cost(stage, shape, settings, own, distinct)
                if stage == "extract":  # its jobs are the first that use the model, and one of them checks it
                    cost = cost._replace(memory=max(cost.memory, check.memory))
                    if shard == min(shards):
                        cost = cost._replace(flop=cost.flop + check.flop, disk=cost.disk + check.disk)
                costs[stage, model, shard] = cost
        if model in map_models(config):
            chosen = triples.choose(pairs, config["map"], config["prompts"]["seed"])
            costs["map", model, ALL] = _map(config, shape, settings, chosen, sizes)
        if model in robust_models(config) and (robust := robust_pairs(config, pairs)):
            costs["robustness", model, ALL] = _cost("robustness", shape, settings, [sizes[one] for one in robust], 1.0)
        seconds = {
            key: _fetch_seconds(entry["source"], shape) if key[0] == "fetch" else _seconds(key[0], cost, shape, gflops)
            for key, cost in costs.items()
        }
        lines += [_line(model, stage, costs, seconds, gflops) for stage in dict.fromkeys(key[0] for key in costs)]
        jobs += [Job(key, seconds[key], cost.memory, _after(key, entry, shards)) for key, cost in costs.items()]
    known = len(config["models"]) - len(unknown)
    after: tuple[Key, ...] = tuple(job.key for job in jobs)
    for stage in calibration.LIGHT:
        needs = calibration.LIGHT[stage].needs(known, len(pairs) if config["prompts"]["suite"] else 0)
        taken = None if gflops is None else needs.seconds
        lines.append(Line(ALL, stage, 1, 0, 0.0, needs.memory, needs.disk, taken, taken))
        jobs.append(Job((stage, ALL, ALL), needs.seconds, needs.memory, after))
        after = ((stage, ALL, ALL),)
    schedule = None
    if gflops is not None and slots is not None:
        here = {job.key for job in jobs}
        jobs = [job._replace(after=tuple(key for key in job.after if key in here)) for job in jobs]
        schedule = simulate(jobs, slots)
    unplanned = tuple(stage for stage in follows(config) if stage not in {line.stage for line in lines} and known)
    return Plan(tuple(lines), tuple(unknown), unplanned, schedule)


def pair_sizes(
    config: Config, model: str, pairs: Sequence[Pair], settings: Settings, models_folder: Path
) -> dict[str, PairSize]:
    """Return the size of each pair by its id.

    The prefix is counted in tokens of the model if its tokenizer is on this machine, otherwise in words.
    """
    folder = models_folder / model_key(config, model)
    entry = config["models"][model]
    if not (folder / "tokenizer.json").is_file() and entry["source"] == "local":
        folder = Path(entry["path"])
    lengths = {pair.id: len(pair.context.split()) for pair in pairs}
    if (folder / "tokenizer.json").is_file():
        tokenised = tokenise_with_file(pairs, folder / "tokenizer.json", model, entry["bos"])
        lengths = {found.pair.id: len(found.prefix) for found in tokenised}
    suite = {pair.id for pair in pairs if SUITE in pair.labels}
    stride, matrices = config["interpolate"]["suite_stride"], config["jacobian"]["suite_matrices"]
    trained = entry["source"] != "random"

    def layers(pair: Pair) -> tuple[int, ...]:
        of_run, trace = settings.layers, settings.trace_layer
        return tuple(depth.layers_of(pair, of_run, stride=stride, trace_layer=trace, trained=trained))

    return {
        pair.id: PairSize(
            prefix=lengths[pair.id],
            context=pair.context,
            layers=layers(pair),
            whole=matrices or pair.id not in suite,
            stages=frozenset(stage for stage in AFTER_CURVES if depth.goes_into(pair, stage, trained=trained)),
            traced=depth.is_traced(pair),
        )
        for pair in pairs
    }


def _cost(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize], distinct: float) -> _Cost:
    """Return the cost of one job over these pairs; `distinct` is explained in `storage.disk_bytes`."""
    counts = storage.rows(stage, shape, settings, pairs)
    return _Cost(
        rows=sum(counts.values()),
        flop=_flop(stage, shape, settings, pairs),
        memory=storage.memory_bytes(stage, shape, settings, pairs),
        disk=storage.disk_bytes(counts, shape, distinct),
    )


def _flop(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    steps, traced = settings.steps, settings.traced(shape)
    contexts = {pair.context: pair.prefix for pair in pairs}  # pairs of the same context share its run
    prefixes = sum(flops.prefix_run(shape, length) for length in contexts.values())
    match stage:
        case "extract":
            return sum(flops.extract(shape, pair.prefix) for pair in pairs)
        case "interpolate":
            swept = sum(flops.interpolate(shape, pair.prefix, steps, pair.layers) for pair in pairs)
            return prefixes + swept + FLOAT64 * flops.logit_root(shape)
        case "freeze":
            frozen = (steps, settings.freeze_layers, settings.conditions)
            swept = sum(flops.freeze(shape, pair.prefix, *frozen, known=pair.layers) for pair in pairs)
            return prefixes + swept + FLOAT64 * flops.logit_root(shape)
        case "jacobian":
            lengths, whole = [pair.prefix for pair in pairs], [pair.whole for pair in pairs]
            return prefixes + flops.jacobian(
                shape, lengths, whole, steps, traced, components=settings.components,
                exact_up_to=settings.exact_up_to, probes=settings.probes,
            )  # fmt: skip
        case "spline":
            return len(pairs) * flops.spline(shape, steps, traced)
        case "robustness":
            swept = sum(flops.robustness(shape, pair.prefix, steps, settings.trace_layer) for pair in pairs)
            return swept + 2 * FLOAT64 * flops.logit_root(shape)  # of both models, with and without rounded weights
        case _:
            return 0.0


def _map(
    config: Config, shape: Shape, settings: Settings, chosen: Sequence[Triple], sizes: Mapping[str, PairSize]
) -> _Cost:
    sides = [config["map"]["points" if triple.fine else "coarse_points"] for triple in chosen]
    prefixes = [sizes[triple.ends[0][0]].prefix for triple in chosen]
    flop = sum(
        flops.map_triple(shape, prefix, side, settings.trace_layer)
        for side, prefix in zip(sides, prefixes, strict=True)
    )
    rows = sum(side**2 for side in sides)
    return _Cost(
        rows=rows,
        flop=flop + FLOAT64 * flops.logit_root(shape),
        memory=storage.memory_bytes("map", shape, settings._replace(steps=max(sides, default=1)), list(sizes.values())),
        disk=rows * calibration.MAP_ROW_BYTES + 2 * calibration.FILE_BYTES,
    )


def _selfcheck(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> _Cost:
    """Return the cost of the check of a model, which the first job that uses the model makes."""
    flop = flops.selfcheck(shape, storage.longest(pairs), settings.traced(shape))
    return _Cost(0, flop, storage.memory_bytes("selfcheck", shape, settings, pairs), calibration.SELFCHECK_BYTES)


def _fetch(source: str, shape: Shape, *, narrow: bool) -> _Cost:
    cost = calibration.FETCH[source]
    # Files of a local folder are linked, which needs no disk space if the file system supports links.
    disk = 0.0 if source == "local" and not narrow else shape.file_bytes + calibration.TOKENIZER_BYTES
    embedding = 4.0 * shape.vocabulary * shape.d_model
    memory = cost.base_bytes + cost.bytes_per_model_byte * shape.model_bytes + cost.embeddings * embedding
    if narrow:  # room for the stored file and its rounded copy
        memory = max(memory, cost.base_bytes + 3 * shape.file_bytes)
    return _Cost(0, 0.0, memory, disk)


def _fetch_seconds(source: str, shape: Shape) -> float:
    cost = calibration.FETCH[source]
    return cost.seconds + cost.seconds_per_gb * shape.model_bytes / 1e9


def _seconds(stage: str, cost: _Cost, shape: Shape, gflops: float | None) -> float:
    """Return the seconds of a job: start-up and loading, operations at the stage's share of the speed, and rows."""
    if stage not in calibration.EFFICIENCY:
        return calibration.SHARPNESS_SECONDS + cost.rows * calibration.ROW_SECONDS
    start = calibration.START_SECONDS + calibration.LOAD_SECONDS_PER_GB * shape.model_bytes / 1e9
    computing = 0.0 if gflops is None else cost.flop / (gflops * 1e9 * calibration.EFFICIENCY[stage])
    return start + computing + cost.rows * calibration.ROW_SECONDS


def _line(
    model: str, stage: str, costs: Mapping[Key, _Cost], seconds: Mapping[Key, float], gflops: float | None
) -> Line:
    keys = [key for key in costs if key[0] == stage]
    of = [costs[key] for key in keys]
    return Line(
        model=model,
        stage=stage,
        jobs=len(keys),
        rows=sum(cost.rows for cost in of),
        flop=sum(cost.flop for cost in of),
        memory=max(cost.memory for cost in of),
        disk=sum(cost.disk for cost in of),
        seconds=None if gflops is None else sum(seconds[key] for key in keys),
        longest=None if gflops is None else max(seconds[key] for key in keys),
    )


def _after(key: Key, entry: Mapping[str, object], shards: Iterable[str]) -> tuple[Key, ...]:
    """Return the keys of the jobs that a job waits for."""
    stage, model, shard = key
    if stage == "fetch":
        return (("fetch", str(entry["like"]), ALL),) if "like" in entry else ()
    if stage in ("map", "robustness"):
        return tuple(("extract", model, one) for one in shards)
    return tuple((before, model, ALL if before == "fetch" else shard) for before in FOLLOWS[stage])
