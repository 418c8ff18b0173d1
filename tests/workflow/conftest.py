"""A project whose whole DAG has run once, shared by all tests of a session (over xdist's workers too)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests import tiny
from tests.workflow.project import Project


@pytest.fixture(scope="session")
def finished(shared_folder: Path) -> Project:
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
