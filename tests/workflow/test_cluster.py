"""What jobs request from a cluster, and Snakemake's other commands, for which nobody says how many cores there are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yte

from plateaus.config.reading import load_schema, resolve
from plateaus.config.stages import STAGES
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair
from plateaus.run import queue, requests
from plateaus.run.memory import UNKNOWN_MB
from tests.workflow.project import ROOT, Project

COMMANDS = {
    "report": (("--report", "page.html"), "page.html"),
    "dag": (("--dag",), "digraph snakemake_dag"),
    "rulegraph": (("--rulegraph",), "jacobian"),
    "summary": (("--summary",), "results/tiny/report/index.html"),
    "lint": (("--lint",), "Congratulations"),
    "unlock": (("--unlock",), "Unlocked working directory"),
}
"""Arguments of each command, and the file that it writes or a part of what it prints."""
PAIR = Pair("house-big-in", "The house was", "big", "in", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_snakemakes_other_commands_need_no_number_of_cores(command, project: Project):
    arguments, expected = COMMANDS[command]
    done = project.forked(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / expected).is_file() or expected in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments", [("--archive", "all.tar.gz"), ("--containerize",)], ids=lambda arguments: arguments[0]
)
def test_commands_that_need_conda_ask_for_it_and_not_for_cores(arguments, project: Project, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    done = project.forked(*arguments)
    assert "conda info" in done.stderr, done.stderr
    assert "number of cores" not in done.stderr


def jobs(project: Project, *arguments: str) -> dict[str, str]:
    """The command line of each job, by its log, as a dry run of all jobs prints it."""
    done = project.forked("-n", "-p", "--forceall", "--quiet", "host", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(
        r"^    log: (\S+)\n(?:.*\n)*?(?:Shell command: )?(.* --threads .*)$", done.stdout + done.stderr, re.MULTILINE
    )
    assert found
    return dict(found)


def test_a_job_on_a_cluster_is_called_as_it_was_planned_whatever_its_node_has(finished: Project):
    """Snakemake reads the Snakefile again inside each job, and is told there that it may use all cores of the node."""
    planned = jobs(finished, "--jobs", "100", "--cores", "1")
    assert len(planned) == 32
    for cores in ("2", "64"):
        assert jobs(finished, "--mode", "remote", "--jobs", "1", "--cores", cores) == planned
    assert all("--threads 1 --device cpu" in command for command in planned.values())


@pytest.fixture
def asked(root, tmp_path) -> requests.Requests:
    raw = {"run": "r", "models": {"m": {"source": "embedded"}, "far": {"source": "hub", "id": "nobody/nothing"}}}
    return requests.requests_of(
        resolve(raw, load_schema(root / "workflow/schemas/config.schema.yaml")), [PAIR], tmp_path, 1
    )


def test_each_attempt_asks_for_more_memory_and_time(asked):
    for key in (("jacobian", "m"), ("report", "all"), ("jacobian", "far")):
        for ask in (asked.megabytes, asked.minutes):
            first = ask(*key, 1)
            assert [ask(*key, attempt) for attempt in (2, 3)] == [2 * first, 3 * first]


def test_a_request_covers_what_is_planned_and_snakemake_itself(asked, root, tmp_path):
    raw = {"run": "r", "models": {"m": {"source": "embedded"}}}
    config = resolve(raw, load_schema(root / "workflow/schemas/config.schema.yaml"))
    lines = estimate.make(config, [PAIR], tmp_path, gflops=requests.SLOW_GFLOPS).lines
    for line in lines:
        if line.model == "m":
            assert asked.megabytes(line.stage, "m", 1) >= 1.25 * line.memory / 1e6 + requests.SNAKEMAKE_MB
            assert asked.minutes(line.stage, "m", 1) * 60 >= 2 * line.longest
    assert asked.megabytes("extract", "far", 1) > UNKNOWN_MB
    assert asked.minutes("extract", "far", 1) > requests.UNKNOWN_MINUTES


def test_twice_the_threads_ask_for_less_time_and_the_same_memory(root, tmp_path):
    config = resolve(
        {"run": "r", "models": {"m": {"source": "embedded"}}}, load_schema(root / "workflow/schemas/config.schema.yaml")
    )
    pairs = [PAIR._replace(id=f"p{number}") for number in range(400)]
    one, two = (requests.requests_of(config, pairs, tmp_path, threads) for threads in (1, 2))
    assert one.memory == two.memory
    assert two.seconds["jacobian", "m"] < 0.6 * one.seconds["jacobian", "m"]


def test_a_dry_run_for_a_cluster_shows_what_the_jobs_ask_for(finished: Project):
    output = finished.forked("-n", "--forceall", "--quiet", "host", "--jobs", "100").stdout
    asked = dict(re.findall(r"^rule (\w+):\n(?:.*\n)*?    resources: (.*)$", output, re.MULTILINE))
    assert set(asked) == {*STAGES, "all"}
    del asked["all"]
    assert all(
        re.search(r"runtime=\d+", resources) and re.search(r"mem_mb=\d+", resources) for resources in asked.values()
    )
    here = finished.forked("-n", "--forceall", "--quiet", "host", "--cores", "2").stdout
    assert "mem_mb=" in here
    assert "runtime=" not in here


def profile(name: str) -> dict[str, object]:
    with (ROOT / "profiles" / name / "config.yaml").open(encoding="utf-8") as file:
        found: dict[str, object] = yte.process_yaml(file, require_use_yte=True)
    return found


def test_the_profile_for_slurm_keeps_what_the_default_profile_sets(monkeypatch):
    """Snakemake reads one of the two."""
    monkeypatch.setattr("sys.argv", ["snakemake"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    default, slurm = profile("default"), profile("slurm")
    assert {key: slurm[key] for key in default if key != "quiet"} == {
        key: default[key] for key in default if key != "quiet"
    }
    assert set(slurm["quiet"]) == set(default["quiet"]) - {"rules"}  # which would hide why a job failed
    texts = [(ROOT / "profiles" / name / "config.yaml").read_text(encoding="utf-8") for name in ("default", "slurm")]
    check = texts[0].partition("__definitions__:\n")[2].partition("# Files")[0]
    assert check in texts[1]


def test_without_its_plugin_the_profile_says_what_to_install(monkeypatch):
    monkeypatch.setattr("sys.argv", ["snakemake"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^error: profiles/slurm needs .* -r requirements-slurm.lock$"):
        profile("slurm")
    assert (ROOT / "requirements-slurm.lock").is_file()


def test_jobs_that_outlived_their_snakemake_stop_a_second_start(project: Project, monkeypatch):
    """A run that has something to do; planning it and looking at it are not stopped."""
    results, squeue = project.folder / "results" / "tiny", project.folder / "bin" / "squeue"
    (results / "report" / "index.html").unlink()
    queue.remember(results, "this-start")
    squeue.parent.mkdir()
    squeue.write_text('#!/bin/sh\ncase "$*" in *--name=this-start*) echo 17; echo 18;; esac\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}:/usr/bin:/bin")
    assert project.planned() == {"report": 1}
    done = project.forked("--cores", "1")
    assert done.returncode == 1
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert re.search(r"in the queue \(17, 18\): wait .* `scancel 17 18`, then run again$", errors[0])
    assert not re.search("Traceback|Exception", done.stdout + done.stderr)
    assert not (results / "report" / "index.html").exists()


def test_a_start_is_free_when_the_queue_is_empty_or_there_is_no_slurm(tmp_path: Path, monkeypatch):
    queue.check(tmp_path)  # nothing was ever started
    queue.remember(tmp_path, "this-start")
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\ncase "$*" in *--name=this-start*) ;; *) echo 19;; esac\n')  # a job of somebody else
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    queue.check(tmp_path)
    squeue.unlink()  # the results were copied to a machine without SLURM
    queue.check(tmp_path)
