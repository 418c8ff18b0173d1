"""Test the cost model: operations against those that torch runs, rows against those of the stages, and the output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from plateaus.config import stages
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.curves.trace import Trace
from plateaus.errors import InputError
from plateaus.mechanism import mlp_jacobian, nodes
from plateaus.model import products, unembedding
from plateaus.model.transformer import Transformer
from plateaus.plan import __main__ as command
from plateaus.plan import calibration, estimate, flops, layout, measured, schedule, shapes, speed, storage, threads
from plateaus.plan.machine import machine
from plateaus.prompts import sampling
from plateaus.prompts.pairs import Pair, split, tokenise_with_file
from plateaus.run import precheck
from plateaus.stages import robustness
from plateaus.stages.extract import endpoints
from plateaus.stages.freeze import freeze_pair
from plateaus.stages.interpolate import Ends, interpolate_pairs
from plateaus.stages.jacobian import COMPONENTS, jacobian_layer, start
from plateaus.stages.spline import neuron_rows, spline_layer

PAIR = Pair("house-big-in", "The house was", "big", "in", "published")
STEPS = 70
"""Enough steps for more than one block of logits."""
KINDS = ("gpt2", "llama", "opt", "neox")
CONDITIONS = ("none", "attn_mean", "attn_secant")
SHIPPED = sorted(path.name for path in (Path(__file__).parents[3] / "config").glob("*.yaml"))


class Counter(TorchDispatchMode):
    """Counts the operations of every matrix product that torch runs inside this context."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        # torch's table of counts has no in-place operations.
        kind = torch.ops.aten.baddbmm if func._overloadpacket is torch.ops.aten.baddbmm_ else func._overloadpacket
        if kind in flop_registry:
            self.total += flop_registry[kind](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.fixture(autouse=True)
def _plain_products(monkeypatch):
    """The counter knows PyTorch's own products alone."""
    monkeypatch.setattr(products, "HAS_ONEDNN", False)


def counted(run) -> int:
    with Counter() as counter:
        run()
    return counter.total


def shape_in(folder: Path) -> shapes.Shape:
    return shapes.shape_from(json.loads((folder / "config.json").read_text()), 1, 4)


def case_of(folder: Path):
    (pair,) = tokenise_with_file([PAIR], folder / "tokenizer.json", "model")
    model = Transformer.load(folder, device="cpu")
    ((residuals, _),) = endpoints(model, [pair])
    # The trials that find what the layers and the logits are made of take a few rows per job and are not counted.
    mlps = [model.mlp(layer) for layer in range(model.n_layers)]
    model.mlp = mlps.__getitem__
    model.logits(residuals[:, -1])
    model.layout(0)
    return model, shape_in(folder), pair, residuals


@pytest.fixture(params=KINDS)
def case(request, tiny_folder):
    return case_of(tiny_folder(request.param))


def run_interpolate(model, pair, residuals, layers):
    return interpolate_pairs(
        model, [Ends(pair, residuals)], steps=STEPS, path="spherical", layers=layers, trace_layer=layers[0], top_tokens=2,
        memory_gb=1.0,
    )[0]  # fmt: skip


def traced(model, pair, residuals) -> Trace:
    found = run_interpolate(model, pair, residuals, [0])
    layers = tuple(range(1, model.n_layers))
    read, post = (
        torch.from_numpy(found.trace[name]).reshape(len(layers), STEPS, -1) for name in ("mlp_input", "resid_post")
    )
    return Trace(pair, layers, torch.linspace(0, 1, STEPS), list(post), list(read), list(post))


# ---- operations


@pytest.mark.parametrize("kind", [*KINDS, "olmo2", "gemma2"])
def test_sweeps_are_counted_to_the_last_product(kind, tiny_folder, monkeypatch):
    for module, name in ((flops, "ROOT_STRIP"), (unembedding, "STRIP")):
        monkeypatch.setattr(module, name, 12)
    model, shape, pair, residuals = case_of(tiny_folder(kind))
    layers, prefix = list(range(shape.layers)), len(pair.prefix)
    assert counted(lambda: endpoints(model, [pair])) == pytest.approx(flops.extract(shape, prefix), rel=1e-9)
    swept = counted(lambda: run_interpolate(model, pair, residuals, layers))  # with the prefix, which is then kept
    shared = flops.prefix_run(shape, prefix) + flops.logit_root(shape)
    assert swept == pytest.approx(flops.interpolate(shape, prefix, STEPS, layers) + shared, rel=1e-9)
    frozen = counted(
        lambda: freeze_pair(
            model, pair, residuals, steps=STEPS, path="spherical", layers=[0, 2], conditions=list(CONDITIONS),
            memory_gb=1.0,
        )
    )  # fmt: skip
    assert frozen == pytest.approx(flops.freeze(shape, prefix, STEPS, [0, 2], CONDITIONS), rel=1e-9)


def test_the_variants_of_a_strength_are_counted_closely(case):
    model, shape, pair, _ = case
    own = robustness.Variant("as in the run", "spherical", STEPS, 1, False)

    def run():
        for variant in robustness.variants(own, n_layers=model.n_layers, begins=False):
            robustness.curves(model, pair, variant, memory_gb=1.0)

    assert counted(run) == pytest.approx(flops.robustness(shape, len(pair.prefix), STEPS, 1), rel=0.02)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "olmo2", "gemma2"])
def test_gram_matrices_are_counted_to_the_last_product(kind, tiny_folder):
    model, shape, *_ = case_of(tiny_folder(kind))
    mlp = model.mlp(1)
    assert counted(lambda: mlp_jacobian.gram(mlp)) == pytest.approx(flops.gram(shape), rel=1e-9)


@pytest.mark.parametrize(
    ("components", "exact", "whole"),
    [(COMPONENTS, True, True), (COMPONENTS, False, True), (COMPONENTS, True, False), (("mlp",), True, True)],
    ids=["exact", "estimated", "gains alone", "mlp"],
)
def test_jacobians_are_counted_to_two_thousandths(case, components, exact, whole, monkeypatch):
    model, shape, pair, residuals = case
    trace = traced(model, pair, residuals)
    choose = nodes.choose
    monkeypatch.setattr(nodes, "choose", lambda *given: choose(*given) and nodes.every_step(STEPS))

    def run() -> None:
        states = [start(model, trace, whole=whole)]
        for layer in trace.layers:
            _, states = jacobian_layer(
                model, layer, states, components=list(components), exact=exact, probes=16, memory_gb=1.0
            )

    expected = flops.jacobian(
        shape, [len(pair.prefix)], [whole], STEPS, shape.layers - 1, components=components,
        exact_up_to=shape.d_model if exact else 0, probes=16, nodes=STEPS,
    )  # fmt: skip
    assert counted(run) == pytest.approx(expected, rel=0.002)


def test_splines_are_counted_to_the_last_product(case):
    model, shape, pair, residuals = case
    trace = traced(model, pair, residuals)

    def run() -> None:
        for layer in trace.layers:
            mlp = model.mlp(layer)
            spline_layer(mlp, trace, layer)
            if shape.relu:
                neuron_rows(mlp, mlp_jacobian.gram(mlp), trace, layer, 3)

    assert counted(run) == pytest.approx(flops.spline(shape, STEPS, shape.layers - 1), rel=1e-9)


def test_chunks_are_those_of_the_model(case):
    model, shape, *_ = case
    alike = shape._replace(d_mlp=model.d_mlp)  # without a d_mlp in the bridge, the model uses four times d_model
    assert [alike.bytes_per_row(prefix) for prefix in (0, 7)] == [model.bytes_per_row(prefix) for prefix in (0, 7)]


def test_published_shapes_have_their_number_of_parameters():
    from transformers import AutoConfig, AutoModelForCausalLM

    for name, published in (shapes.known() | shapes.EMBEDDED).items():
        told = dict(published.config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(told.pop("model_type"), **told))
        assert sum(parameter.numel() for parameter in model.parameters()) == published.parameters, name
        assert 1.9 * published.parameters < published.file_bytes < 4.5 * published.parameters, name


# ---- rows, memory, disk


def settings_of(shape: shapes.Shape, **changed) -> storage.Settings:
    plain = storage.Settings(
        steps=STEPS, layers=tuple(range(shape.layers)), trace_layer=0, top_tokens=2, freeze_layers=(0, 2),
        conditions=CONDITIONS, components=COMPONENTS, exact_up_to=1024, probes=16, top_neurons=3, memory_gb=1.0,
        centre=False,
    )  # fmt: skip
    return plain._replace(**changed)


def test_rows_are_those_that_the_stages_make(case):
    model, shape, pair, residuals = case
    settings = settings_of(shape)
    one = [storage.PairSize(len(pair.prefix), settings.layers, True)]
    found = run_interpolate(model, pair, residuals, list(range(shape.layers)))
    expected = storage.rows("interpolate", shape, settings, one)
    for table in ("interpolate", "endpoint_check", "trace"):
        assert len(next(iter(getattr(found, table).values()))) == expected[table]
    frozen = freeze_pair(
        model, pair, residuals, steps=STEPS, path="spherical", layers=[0, 2], conditions=list(CONDITIONS), memory_gb=1.0
    )
    assert len(frozen["step"]) == storage.rows("freeze", shape, settings, one)["freeze"]
    trace = traced(model, pair, residuals)
    jacobian, _ = jacobian_layer(
        model, 1, [start(model, trace)], components=list(COMPONENTS), exact=True, probes=4, memory_gb=1.0
    )
    layers = shape.layers - 1
    assert layers * len(jacobian[0]["step"]) == storage.rows("jacobian", shape, settings, one)["jacobian"]
    mlp, splines = model.mlp(1), storage.rows("spline", shape, settings, one)
    between, codes = spline_layer(mlp, trace, 1)
    assert (layers * len(between["step"]), layers * len(codes["step"])) == (splines["spline"], splines["codes"])
    neurons = layers * len(neuron_rows(mlp, mlp_jacobian.gram(mlp), trace, 1, 3)["step"]) if shape.relu else 0
    assert neurons == splines["neurons"]


LARGE = shapes.shape_from(*shapes.known()["gpt2-large"])


def test_memory_grows_with_what_it_is_made_of():
    pairs = [storage.PairSize(3, tuple(range(36)), True)] * 2

    def peak(stage: str, count: int = 1, **changed) -> float:
        return storage.memory_bytes(stage, LARGE, settings_of(LARGE, **changed), pairs * count)

    for stage in ("extract", "interpolate", "freeze", "jacobian", "spline"):
        assert peak(stage) > calibration.BASE_BYTES
        assert peak(stage, centre=True) > peak(stage) + LARGE.model_bytes
        assert peak(stage, 20) > peak(stage)
    assert peak("jacobian", exact_up_to=4096) > peak("jacobian", exact_up_to=0)
    gains = [storage.PairSize(3, tuple(range(36)), False)] * 40
    assert storage.memory_bytes("jacobian", LARGE, settings_of(LARGE), gains) < peak("jacobian", 20)
    assert peak("interpolate", memory_gb=4.0) > peak("interpolate", memory_gb=0.1)


def test_a_large_vocabulary_takes_memory_and_time_for_coordinates_and_not_for_logits(schema, tmp_path):
    gemma = shapes.shape_from(*shapes.EMBEDDED["gemma-3-270m"])
    pairs = [storage.PairSize(3, tuple(range(18)), True)]
    for stage in ("interpolate", "freeze"):
        short, full = (
            storage.memory_bytes(stage, shape, settings_of(shape), pairs)
            for shape in (gemma, gemma._replace(capped=True))
        )
        assert short < full - 64 * 4 * gemma.vocabulary
    config = {"m": {"source": "embedded", "name": "gemma-3-270m"}}
    one, two = (
        {
            line.stage: line.flop
            for line in estimate.make(whole, [PAIR, PAIR._replace(id="x")], tmp_path, gflops=None).lines
        }
        for whole in (resolved(schema, config, prompts={"shards": shards}) for shards in (1, 2))
    )
    for stage in ("interpolate", "freeze"):  # every shard computes the square root again
        again = estimate.FLOAT64 * flops.logit_root(gemma) + flops.prefix_run(gemma, len(PAIR.context.split()))
        assert two[stage] - one[stage] == pytest.approx(again)


def test_bfloat16_takes_half_of_the_room(schema, tmp_path):
    both = resolved(schema, {"m": {"source": "embedded"}, "h": {"source": "embedded", "storage": "bfloat16"}})
    lines = {(line.model, line.stage): line for line in estimate.make(both, [PAIR], tmp_path, gflops=None).lines}
    known = shapes.EMBEDDED["smollm2-135m"]
    weights = 4.0 * known.parameters
    assert lines["m", "fetch"].disk - lines["h", "fetch"].disk == weights / 2
    embedding = 4.0 * known.config["vocab_size"] * known.config["hidden_size"]  # in float32 while it is read
    for stage in ("extract", "interpolate", "freeze", "jacobian"):
        assert lines["m", stage].memory - lines["h", stage].memory == pytest.approx(weights / 2 - embedding)
        assert lines["m", stage].flop == lines["h", stage].flop


# ---- whole plans


@pytest.fixture(scope="module")
def schema(root):
    return load_schema(root / SCHEMA)


def resolved(schema, models, **sections):
    return resolve({"models": models, **sections}, schema)


def test_totals_and_lines(schema, tmp_path):
    small = resolved(schema, {"m": {"source": "embedded"}}, prompts={"shards": 1})
    two = resolved(schema, {"m": {"source": "embedded"}, "r": {"source": "random", "like": "m"}}, prompts={"shards": 1})
    plans = [estimate.make(one, [PAIR], tmp_path, gflops=50.0) for one in (small, two)]
    own = [line for line in plans[0].lines if line.model == "m"]
    assert [line.stage for line in own] == [stage for stage in stages.STAGES if stage in {x.stage for x in own}]
    assert [line for line in plans[1].lines if line.model == "m"] == own
    other = {line.stage: line for line in plans[1].lines if line.model == "r"}
    assert all(other[line.stage].flop == line.flop and other[line.stage].rows == line.rows for line in own)
    assert all(plan.unplanned == () for plan in plans)
    alone = sum(line.seconds for line in plans[1].lines)
    assert plans[1].schedule.seconds == pytest.approx(alone)
    side_by_side = estimate.make(two, [PAIR], tmp_path, gflops=50.0, slots=2).schedule
    assert alone / 2 <= side_by_side.seconds < alone
    assert side_by_side.memory > plans[1].schedule.memory


def test_robustness_has_a_line_for_each_trained_model_only_if_the_config_asks_for_it(schema, tmp_path):
    models = {"m": {"source": "embedded"}, "r": {"source": "random", "like": "m"}}
    pair = PAIR._replace(tags="suite;natural")
    asked = resolved(schema, models, prompts={"shards": 2}, robustness={"pairs": 1})
    plans = [estimate.make(one, [pair], tmp_path, gflops=50.0) for one in (resolved(schema, models), asked)]
    lines = [[line for line in plan.lines if line.stage == "robustness"] for plan in plans]
    assert lines[0] == []
    assert [(line.model, line.jobs, line.rows) for line in lines[1]] == [("m", 1, 22)]
    assert plans[1].unplanned == ()
    assert plans[1].schedule.seconds == pytest.approx(plans[0].schedule.seconds + lines[1][0].seconds)


def test_twice_the_speed_halves_the_computing_and_no_more(schema, tmp_path):
    small = resolved(schema, {"m": {"source": "embedded"}})
    seconds = [
        sum(line.seconds for line in estimate.make(small, [PAIR], tmp_path, gflops=gflops).lines)
        for gflops in (10.0, 20.0, 1e12)
    ]
    assert seconds[0] - seconds[2] == pytest.approx(2 * (seconds[1] - seconds[2]))


def test_shards_share_the_pairs_and_each_starts_anew(schema, tmp_path, root):
    pairs = [PAIR._replace(id=f"p{number}", tags="") for number in range(12)]
    one, four = (
        {
            line.stage: line
            for line in estimate.make(
                resolved(schema, {"m": {"source": "embedded"}}, prompts={"shards": shards}),
                pairs,
                tmp_path,
                gflops=50.0,
            ).lines
        }
        for shards in (1, 4)
    )
    assert four["interpolate"].jobs == len(split(pairs, 4))
    shape = shapes.shape_from(*shapes.EMBEDDED["smollm2-135m"])
    root, prefix = estimate.FLOAT64 * flops.logit_root(shape), flops.prefix_run(shape, len(PAIR.context.split()))
    again = {"extract": 0.0, "interpolate": root + prefix, "freeze": root + prefix, "spline": 0.0}
    for stage, of_shard in again.items():
        more = (four[stage].jobs - 1) * of_shard
        assert (four[stage].rows, four[stage].flop) == (one[stage].rows, pytest.approx(one[stage].flop + more))
        # Every shard of extract may be the one that checks the model, which needs more memory than the shard itself.
        assert four[stage].memory < one[stage].memory or stage == "extract"
        assert four[stage].seconds > one[stage].seconds
    assert four["jacobian"].flop > one["jacobian"].flop  # every shard computes the Gram matrices again


def test_pairs_of_the_suite_take_fewer_layers_and_no_matrices(schema, tmp_path):
    plans = [
        {
            line.stage: line
            for line in estimate.make(
                resolved(schema, {"m": {"source": "embedded"}}, interpolate={"suite_stride": 5}),
                [PAIR._replace(tags=tags)], tmp_path, gflops=None,
            ).lines
        }
        for tags in ("published", "suite;natural;deep")
    ]  # fmt: skip
    published, suite = plans
    # Layers 0, 5, ..., 25 of 30 are each recorded at every layer from it on and at the logits.
    fewer = 50 * sum(31 - layer for layer in range(0, 30, 5)) - 50 * sum(31 - layer for layer in range(30))
    assert suite["interpolate"].rows - published["interpolate"].rows == fewer + 2 * (6 - 30)
    chain = published["jacobian"].rows // len(COMPONENTS)
    assert suite["jacobian"].rows == published["jacobian"].rows - chain  # pairs of the suite have no chain
    assert suite["jacobian"].flop < published["jacobian"].flop / 2
    assert suite["freeze"] == published["freeze"]


def test_unknown_hub_models_are_left_out_and_said_so(schema, tmp_path):
    both = resolved(schema, {"m": {"source": "embedded"}, "x": {"source": "hub", "id": "nobody/unheard-of"}})
    plan = estimate.make(both, [PAIR], tmp_path, gflops=50.0)
    assert plan.unknown == ("x",)
    printed = layout.table(plan, speed.given(50.0, 1), 1, "a config")
    assert "without x" in printed
    assert "model x: its shape is not known before it is fetched" in printed
    assert next(line for line in printed.splitlines() if line.startswith("x ")).split()[1:] == ["?"] * 7


def test_the_plan_says_what_would_not_fit_first(schema, tmp_path):
    one = resolved(schema, {"m": {"source": "embedded"}})
    plan = estimate.make(one, [PAIR], tmp_path, gflops=50.0)
    (said,) = [line for line in layout.table(plan, speed.given(50.0, 2), 1, "x").splitlines() if "core hours" in line]
    hours = 2 * sum(line.seconds for line in plan.lines) / 3600
    longest, largest = (
        max(plan.lines, key=lambda line: line.longest or 0),
        max(plan.lines, key=lambda line: line.memory),
    )
    assert said.startswith(f"{hours:.1f} core hours in {sum(line.jobs for line in plan.lines)} jobs")
    assert f"longest job is {longest.stage} of {longest.model}" in said
    assert f"largest {largest.stage} of {largest.model} with {largest.memory / 1e9:.1f} GB" in said
    many = plan._replace(lines=tuple(line._replace(jobs=100 * line.jobs) for line in plan.lines))
    assert "fewer prompts.shards" in layout.table(many, speed.given(50.0, 2), 1, "x")


def test_a_folder_tells_its_own_shape(schema, tmp_path, tiny_folder):
    folder = tiny_folder("opt")
    local = resolved(schema, {"m": {"source": "local", "path": str(folder)}, "r": {"source": "random", "like": "m"}})
    shape = shapes.shape_of(local, "m", tmp_path)
    model = Transformer.load(folder, device="cpu")
    mlp = model.mlp(0)
    assert (shape.layers, shape.d_mlp, shape.d_model, shape.heads) == (
        model.n_layers, *mlp.w_in.shape, model.n_heads
    )  # fmt: skip
    assert shape.relu
    assert shapes.shape_of(local, "r", tmp_path) == shape._replace(file_bytes=shape.model_bytes)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_print_their_plan_and_say_it_in_their_header(name, root, schema, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setattr(command, "MODELS_FOLDER", tmp_path)
    command.main([f"config/{name}", "--gflops", "60", "--cores", "2"])
    printed = capsys.readouterr().out
    config = command.read_config(root / "config" / name)
    for model in config["models"]:
        assert f"\n{model} " in printed
    assert "?" not in printed.split("\ntotal", 1)[1]
    assert "not estimated" not in printed
    text = (root / "config" / name).read_text()
    told = layout.COMMENT.search(text)
    assert told is not None, f"{name} has no cost comment: run python -m plateaus.plan config/{name} --comment"
    per_job = threads.of_job(config, 2)
    found = speed.Speed(float(told["gflops"]), per_job, told["device"], told["machine"])
    pairs = sampling.pairs_of(config["prompts"])
    new = layout.comment(
        estimate.make(config, pairs, tmp_path, gflops=found.gflops, slots=2 // per_job), found, 2 // per_job
    )
    assert told[0] == new, f"the cost has changed: run python -m plateaus.plan config/*.yaml --cores 2 --comment\n{new}"
    assert layout.with_comment(text, new) == text
    assert yaml.safe_load(layout.with_comment("run: x\n", new)) == {"run": "x"}


def test_planning_loads_no_model_and_no_torch(root):
    """Planning also imports nothing else that takes seconds."""
    code = (
        "import sys; from plateaus.plan.__main__ import main; main(['config/gpt2-large.yaml', '--gflops', '50']); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'transformer_lens')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, timeout=120)


def test_the_speed_is_measured():
    found = speed.measure(1, "cpu", seconds=0.05)
    assert found.gflops >= 1
    assert "cores" in found.machine
    assert f"{found.gflops:.0f} GFLOP/s" in layout.speed_line(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("models: [", "is not YAML"),
        ("models: {m: {source: embeded}}", "did you mean embedded"),
    ],
)
def test_bad_configs_end_in_one_line(text, words, root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        command.main([str(path), "--gflops", "50"])
    assert words in str(stopped.value)
    assert "\n" not in str(stopped.value)


# ---- schedule, comparison, room


def test_schedules():
    def job(name: str, seconds: float, *after: str) -> schedule.Job:
        return schedule.Job((name, "", ""), seconds, seconds, tuple((one, "", "") for one in after))

    jobs = [job("a", 3), job("b", 2), job("c", 2, "a"), job("d", 1, "b", "c")]
    assert schedule.simulate(jobs, 1) == (8, 3)
    assert schedule.simulate(jobs, 2) == (6, 5)
    assert schedule.simulate(jobs, 9) == (6, 5)
    with pytest.raises(ValueError, match="wait for"):
        schedule.simulate([job("a", 1, "nothing")], 1)


def test_predictions_are_held_against_what_jobs_recorded(tmp_path):
    def line(stage: str) -> estimate.Line:
        return estimate.Line("m", stage, 2, 10, 1e9, 2e9, 3e6, 60.0)

    folder = tmp_path / "benchmarks" / "m" / "extract"
    folder.mkdir(parents=True)
    for shard, memory in (("s0-of-2", 1.0), ("s1-of-2", 1.6)):
        record = {"peak_memory_gb": memory, "cpu_seconds": 30.0, "threads": 2}
        (folder / f"{shard}.json").write_text(json.dumps(record))
    data = tmp_path / "data" / "m" / "extract"
    data.mkdir(parents=True)
    (data / "s0-of-2.parquet").write_bytes(bytes(2_000_000))
    found = measured.read(tmp_path, line("extract"))
    assert found == measured.Measured(jobs=2, memory=1.6e9, disk=2e6, seconds=30.0)
    assert measured.read(tmp_path, line("freeze")) is None
    plan = estimate.Plan((line("extract"), line("freeze")), (), (), None)
    shown = measured.table(plan, [found, None]).splitlines()
    assert len(shown) == 2
    assert [cell for cell in shown[1].split() if cell in ("1.25", "1.50", "2.00")] == [
        "2.00",
        "1.25",
        "2.00",
        "1.50",
        "2.00",
    ]
    assert "nothing to compare" in measured.table(plan, [None, None])


def test_room_is_checked_by_the_plan(schema, tmp_path, monkeypatch):
    small = resolved(schema, {"m": {"source": "embedded"}})
    needed = sum(line.disk for line in estimate.make(small, [PAIR], tmp_path, gflops=None).lines)

    def disk(free: float):
        return lambda _: type("Usage", (), {"free": free})

    monkeypatch.setattr(precheck.shutil, "disk_usage", disk(1.01 * needed))
    precheck.check_room(small, [PAIR], tmp_path, tmp_path)
    monkeypatch.setattr(precheck.shutil, "disk_usage", disk(0.99 * needed))
    with pytest.raises(InputError, match="make room"):
        precheck.check_room(small, [PAIR], tmp_path, tmp_path)


def test_room_for_temporary_files_is_checked(monkeypatch):
    precheck.check_temporary()
    monkeypatch.setattr(precheck.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1e6}))
    with pytest.raises(InputError, match=r"temporary files, has 1 MB free and a run needs 20: .* TMPDIR$"):
        precheck.check_temporary()


def test_room_is_checked_on_the_disk_of_the_models_and_on_that_of_the_results(schema, tmp_path, monkeypatch):
    small = resolved(schema, {"m": {"source": "embedded"}})
    lines = estimate.make(small, [PAIR], tmp_path, gflops=None).lines
    weights = sum(line.disk for line in lines if line.stage == "fetch")
    results = sum(line.disk for line in lines) - weights
    folders = {name: tmp_path / name for name in ("models", "results")}
    for folder in folders.values():
        folder.mkdir()
    free = {"models": 1.01 * weights, "results": 1.01 * results}
    monkeypatch.setattr(precheck, "_disk", lambda folder: list(folders).index(folder.name))
    monkeypatch.setattr(precheck.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free[folder.name]}))
    precheck.check_room(small, [PAIR], *folders.values())
    for name in folders:
        free = {"models": 1.01 * weights, "results": 1.01 * results, name: 0.0}
        with pytest.raises(InputError, match=f"^{folders[name]} has 0 GB free"):
            precheck.check_room(small, [PAIR], *folders.values())


def test_a_machine_that_does_not_name_its_processor_still_has_a_name(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "no such line")
    assert machine().endswith(" cores")
