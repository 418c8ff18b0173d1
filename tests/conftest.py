"""Shared fixtures: tiny models, which are made once per session, and the settings under which the tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from plateaus.sources.quiet import OFFLINE

os.environ.update(OFFLINE)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores must not take two threads each
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that maps a kind of model to the folder of a tiny random model of that kind."""
    from tests import tiny

    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny.save(kind, tmp_path_factory.mktemp("models") / f"tiny-{kind}")
        return made[kind]

    return make


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def embedded_folder(shared_folder: Path) -> Path:
    """The embedded model as fetch makes it: the fetched one if there is one, else made once for all workers."""
    from plateaus.sources import embedded

    for card in sorted((ROOT / "resources" / "models").glob("smollm2-135m-????????/card.json")):
        return card.parent
    folder = shared_folder / "embedded"
    with FileLock(shared_folder / "embedded.lock"):
        if not folder.is_dir():
            embedded.make(folder)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: "test_interrupted" not in item.nodeid)
