"""A run that is killed in any stage and started again ends with the same bytes as one left alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from plateaus.data import tables, temporary
from plateaus.run import lock
from tests.workflow.project import CONFIG, Project


def kill_in(project: Project, stage: str, give_up: float = 600) -> None:
    """Start the run and kill all of its processes as soon as a job of that stage has begun."""
    for made in project.folder.glob(f"results/tiny/data/*/{stage}/*.parquet"):
        made.unlink()  # jobs of several stages run side by side, and those of this one may have ended already
    logs = project.folder / "results" / "tiny" / "logs"
    before = {path: path.stat().st_mtime_ns for path in logs.glob(f"*/{stage}/*.log")}
    process = project.start("--cores", "2")
    deadline = time.monotonic() + give_up
    try:
        while time.monotonic() < deadline:
            begun = [path for path in logs.glob(f"*/{stage}/*.log") if before.get(path) != path.stat().st_mtime_ns]
            if begun:
                time.sleep(0.3)  # into its work: a job of the tiny model takes about a second
                return
            assert process.is_alive(), (project.folder / "err.txt").read_text()
            time.sleep(0.02)
        pytest.fail(f"no job of {stage} began within {give_up} s")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()


def no_half_files(project: Project) -> None:
    for path in project.folder.glob("results/**/[!.]*.parquet"):
        pq.read_table(path)


def test_one_model_killed_in_several_stages_and_started_again(finished: Project, tmp_path: Path):
    """Its tables end with the bytes that they have in a run of two models that was left alone."""
    project = Project.create(tmp_path / "killed", finished.folder / "tiny-model")
    project.configure({**CONFIG, "models": {"tiny": CONFIG["models"]["tiny"]}, "figures": {}})
    for stage in ("fetch", "interpolate", "jacobian", "sharpness"):
        kill_in(project, stage)
        no_half_files(project)
    project.run("--cores", "2", "--until", "jacobian", "spline", "sharpness", "map", "robustness")
    again = project.digests()
    assert again == {path: digest for path, digest in finished.digests().items() if "/tiny/data/tiny/" in f"/{path}"}
    whole = ("claims", "map", "robustness", "selfcheck", "figures")
    tables_per_shard = sum(table.stage not in whole for table in tables.TABLES.values())
    assert len(again) == 2 * tables_per_shard + 4  # and the tables of selfcheck and robustness, and two of map


def test_the_stages_over_all_models_killed_and_started_again(finished: Project, project: Project):
    for stage in ("claims", "figures", "report"):
        (project.folder / "results/tiny/report/index.html").unlink(missing_ok=True)
        kill_in(project, stage)
        no_half_files(project)
    project.run("--cores", "2")
    assert project.digests() == finished.digests()
    assert project.digests("results/tiny/figures/**/*.*") == finished.digests("results/tiny/figures/**/*.*")
    assert project.planned() == {}


def test_what_a_killed_process_was_writing_is_removed(finished: Project, project: Project):
    gone = multiprocessing.get_context("fork").Process(target=_leave, args=(project.folder,))
    gone.start()
    gone.join()
    left = {path for path in project.folder.rglob(".*.tmp") if ".snakemake" not in path.parts}
    assert len(left) == 2
    (project.folder / "results/tiny/report/index.html").unlink()
    done = project.forked("--cores", "2")
    assert done.returncode == 0, done.stderr
    assert not [path for path in left if path.exists()]
    assert project.digests() == finished.digests()


def _leave(folder: Path) -> None:
    temporary.name_beside(folder / "results/tiny/data/tiny/extract/s0-of-2.parquet").touch()
    temporary.name_beside(folder / "resources/models/tiny-00000000").mkdir()


def test_two_runs_in_one_folder_do_not_meet(finished: Project, tmp_path: Path):
    project = finished.copy(tmp_path / "busy")
    with lock.hold(project.folder / "results" / "tiny"):
        done = project.forked("--cores", "1")
    assert done.returncode == 1
    assert "is in use by another run" in done.stderr
