"""Test the bench: both ways compute the same numbers, measurements are summarised correctly, and the page renders."""

from __future__ import annotations

import io
import json
import runpy
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from plateaus.bench import __main__ as command
from plateaus.bench import page, processes, summary, sweeps, ways
from plateaus.bench.agreement import differences
from plateaus.bench.processes import Taken
from plateaus.bench.usual import chosen_steps
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.errors import InputError
from plateaus.stages import runner

STEPS = 7


@pytest.fixture
def run(request, tiny_folder, tmp_path, root, monkeypatch) -> ways.Run:
    """A run on a tiny model whose commands run in this process, because starting a process for each takes a minute."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.tsv").write_text(
        "id\tcontext\ta\tb\ttags\nbig-in\tThe house was\tbig\tin\t\nold-red\tThe car is\told\tred\t\n"
    )
    raw = {
        "run": "bench",
        "models": {"tiny": {"source": "local", "path": str(tiny_folder(request.param))}},
        "prompts": {"table": "pairs.tsv", "shards": 1},
        "interpolate": {"steps": STEPS, "trace_layer": 1},
        "freeze": {"layers": [0, -2]},
    }
    config = resolve(raw, load_schema(root / SCHEMA))
    monkeypatch.setattr(processes, "run", here)
    monkeypatch.setattr(runner, "leave", lambda: None)
    return ways.Run(config, "tiny", tmp_path / "bench", 1, 3)


def here(arguments: list[str], log: Path, *, plain: bool = False) -> Taken:
    """Run a command as `processes.run` does, but in this process and with constant measurements."""
    kept, printed = sys.argv, io.StringIO()
    sys.argv = arguments[1:]
    try:
        with redirect_stdout(printed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*found in sys.modules")
            runpy.run_module(arguments[1], run_name="__main__")
    finally:
        sys.argv = kept
    return Taken(1.0, 1.0, 1e6, printed.getvalue())


@pytest.mark.parametrize("run", ["gpt2", "llama", "opt"], indirect=True)
def test_the_usual_way_says_what_ours_says(run):
    ways.fetch(run)
    ways.clear(run)
    measured = {stage: (ways.usual(run, stage), ways.ours(run, stage)) for stage in summary.STAGES}
    found = differences(run)
    assert found["relative distance"] < 1e-4
    assert found["relative distance, frozen"] < 1e-4
    assert found["Jacobian norm, relative"] < 1e-4
    assert found["Hamming distance"] == 0
    for usual, ours in measured.values():
        assert usual.disk > ours.disk / 10 > 0
    # Files that later stages do not read are counted and then deleted.
    kept = sorted(path.stem for path in run.usual.glob("big-in-[0-9].pt"))
    assert kept == ["big-in-1"]
    assert measured["interpolate"][0].disk > sum(path.stat().st_size for path in run.usual.glob("*-[0-9].pt"))
    # The Jacobians at two of the seven steps are scaled up to all seven.
    assert chosen_steps(STEPS, 3) == [1, 4]
    assert measured["jacobian"][0].seconds > measured["jacobian"][1].seconds


@pytest.mark.parametrize("run", ["neox"], indirect=True)
def test_a_parallel_model_is_refused(run):
    ways.fetch(run)
    with pytest.raises(InputError, match="model tiny: its attention and MLP read the same vector"):
        ways.check(run)


@pytest.mark.parametrize("run", ["gpt2"], indirect=True)
def test_a_wrong_number_is_seen(run):
    ways.fetch(run)
    ways.clear(run)
    for stage in summary.STAGES:
        ways.usual(run, stage)
        ways.ours(run, stage)
    import torch

    file = run.usual / "big-in-0-mlp_mean-distances.pt"
    told = torch.load(file)
    told["logits"][3] += 0.25
    torch.save(told, file)
    assert differences(run)["relative distance, frozen"] == pytest.approx(0.25, abs=1e-3)
    assert differences(run)["relative distance"] < 1e-4


def test_a_process_is_measured(tmp_path):
    code = "import time; x = bytearray(200_000_000); time.sleep(.2); print('said')"
    taken = processes.run(["-c", code], tmp_path / "logs" / "one.log")
    assert taken.said == "said\n"
    assert taken.memory > 2e8
    assert taken.seconds > 0.2
    assert taken.cpu_seconds > 0
    with pytest.raises(InputError, match=r"failed: ZeroDivisionError: .* \(full traceback: .*two.log\)"):
        processes.run(["-c", "1 / 0"], tmp_path / "two.log")


def test_the_allocator_of_the_workflow_is_ours_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "17")
    code = "import os; print(os.environ.get('MALLOC_TRIM_THRESHOLD_'))"
    assert processes.run(["-c", code], tmp_path / "a.log").said == "17\n"
    assert processes.run(["-c", code], tmp_path / "a.log", plain=True).said == "None\n"


def measurement(seconds: float, memory: float, disk: float) -> dict[str, float]:
    return {"seconds": seconds, "cpu_seconds": 2 * seconds, "memory": memory, "disk": disk}


TOLD = {
    "machine": "a machine, 2 cores", "threads": 2, "torch": "2", "model": "tiny", "pairs": ["p", "q"], "steps": 50,
    "repeats": 3, "share": 10, "gflops": 100.0, "start_up": [1.9, 2.0, 7.0], "flop": {"extract": 1e11, "jacobian": 4e11},
    "stages": {
        "extract": {
            "usual": [measurement(seconds, 2e9, 1e9) for seconds in (9.0, 10.0, 90.0)],
            "ours": [measurement(seconds, 1e9, 1e6) for seconds in (4.0, 5.0, 6.0)],
        },
        "jacobian": {
            "usual": [measurement(190.0, 3e9, 1e6)] * 3,
            "ours": [measurement(5.0, 4e9, 1e6)] * 3,
        },
    },
    "differences": {"relative distance": 3e-6},
    "sweeps": {
        "marginal": 1.25,
        "shares": [{"shape": "tiny", "seconds": 1.0, "gflops": 50.0, "share": 0.5}],
        "scaling": {
            name: sweeps.Curve(name, [1, 10], [1.0, 10.0], [0.5, 5.0], 1.0, 1.0)._asdict()
            for name in ("pairs", "layers", "steps", "prefix", "size")
        },
    },
}  # fmt: skip


def test_medians_ratios_and_the_limit():
    extract, jacobian, every = summary.rows(TOLD)
    assert extract.seconds == (10.0, 5.0)
    assert extract.limit == pytest.approx(1.0)
    assert jacobian.limit == pytest.approx(4.0)
    assert every.seconds == (200.0, 10.0)
    assert every.memory == (3e9, 4e9)
    assert every.disk == (1.001e9, 2e6)
    assert summary.ratio(every.seconds) == 20
    for head, cells in (summary.table_of_time(TOLD), summary.table_of_room(TOLD)):
        assert {len(line) for line in cells} == {len(head)}
    assert cells[-1] == ["all stages", "3.00", "4.00", "1,001.0", "2.0"]
    assert summary.table_of_time(TOLD)[1][-1] == ["all stages", "200", "10.0", "20.0", "4.00", "32.7", "20.0", "5.00"]


def test_the_page(tmp_path, root):
    command.write(tmp_path, TOLD)
    assert json.loads((tmp_path / "bench.json").read_text())["gflops"] == 100
    page.write(tmp_path, root / "report")
    html = (tmp_path / "index.html").read_text()
    assert "20 times less time" in html
    assert "4.00 GB against 3.00 GB" in html
    assert "one step in 10" in html
    assert "takes 1.25 times as long" in html
    assert html.count("<svg") + html.count("data:image/svg") >= 2
    assert "3.0e-06" in html
    assert "| all stages | 200 | 10.0 | 20.0 | 4.00 | 32.7 | 20.0 | 5.00 |" in (tmp_path / "bench.md").read_text()
    for name in ("stages", "scaling"):
        assert (tmp_path / f"{name}.svg").is_file()
        assert (tmp_path / f"{name}.png").is_file()


def test_exponents_and_needs(tiny_folder):
    assert sweeps.exponent([1, 2, 4, 8], [3 * x**1.5 for x in (1, 2, 4, 8)]) == pytest.approx(1.5)
    subject = sweeps.subject(tiny_folder("gpt2"))
    layers = range(subject.shape.layers)
    # Twice the steps are twice the work, and a path in the last layer needs no work.
    assert sweeps.needed(subject, 3, layers, 20) == 2 * sweeps.needed(subject, 3, layers, 10)
    assert sweeps.needed(subject, 3, [subject.shape.layers - 1], 10) == 0
    found = sweeps.share(subject, "tiny", 50.0, steps=5)
    assert found["share"] == pytest.approx(found["gflops"] / 50.0)


def test_a_loop_over_pairs(tiny_folder, monkeypatch):
    monkeypatch.setattr(sweeps, "PAIRS", [4, 12])
    subject = sweeps.subject(tiny_folder("gpt2"))
    seconds, operations = sweeps.pairs(subject)
    assert len(seconds) == 12
    assert seconds == sorted(seconds)
    assert operations > sweeps.needed(subject, sweeps.PREFIX, [0], sweeps.STEPS)
    # The time of the first pair includes one-time work; the slope after it does not.
    curve = sweeps.Curve("pairs", [1, 2, 4], [9.0, 10.0, 12.0], [0.5, 1.0, 2.0], 1.0, 1.0)
    assert sweeps.marginal(curve) == 2.0


def test_an_unreadable_config_is_one_line(capsys):
    with pytest.raises(SystemExit, match=r"^error: missing.yaml cannot be read .*: give the path of a YAML file$"):
        command.main(["missing.yaml"])
