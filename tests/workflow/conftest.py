"""A project whose whole DAG has run once, shared by all tests of a session (over xdist's workers too)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from plateaus.run import warm
from tests import tiny
from tests.workflow.project import Project


@pytest.fixture(scope="session")
def shared_start(worker_id: str) -> None:
    """One process that has imported the libraries, for all runs of this session; it outlives runs that are killed."""
    driver = os.getpid() if worker_id == "master" else os.getppid()
    os.environ[warm.OFFERED] = str(driver)
    assert warm.ask(warm.place_of(driver), "plateaus.errors", ["--threads", "1"], driver) == 0


@pytest.fixture(scope="session")
def finished(shared_folder: Path, shared_start: None) -> Project:
    """The real DAG, run small and to its end; tests must not change it (see `project`)."""
    folder = shared_folder / "finished"
    with FileLock(shared_folder / "finished.lock"):
        if not (folder / "done").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            project = Project.create(folder, tiny.save("llama", shared_folder / "tiny-llama-for-dag"))
            project.run("--cores", "2")
            (folder / "done").touch()
    return Project(folder)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change."""
    return finished.copy(tmp_path / "project")
