"""Test the memory of jobs: blocks that fit, requests to the scheduler, and models that are refused."""

from __future__ import annotations

import psutil
import pytest

from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.errors import InputError
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair
from plateaus.run import memory

PAIR = Pair("house-big-in", "The house was", "big", "in", "")
KEYS = [("interpolate", "m"), ("freeze", "m")]


@pytest.fixture
def config(root):
    raw = {"run": "r", "models": {"m": {"source": "embedded"}}, "interpolate": {"steps": 200}}
    return resolve(raw, load_schema(root / SCHEMA))


def room(config, tmp_path, budget) -> memory.Room:
    return memory.room_of(config, [PAIR], tmp_path, budget=budget)


def largest(config, tmp_path, block_gb: float) -> float:
    return max(line.memory for line in estimate.make(config, [PAIR], tmp_path, gflops=None, block_gb=block_gb).lines)


def test_blocks_are_as_large_as_the_budget_allows(config, tmp_path):
    needs = {block: largest(config, tmp_path, block) for block in memory.BLOCKS_GB}
    assert needs[1.0] > needs[0.5] > needs[0.25]
    assert room(config, tmp_path, None).block_gb == 1.0
    assert room(config, tmp_path, needs[1.0] + 1).block_gb == 1.0
    found = room(config, tmp_path, needs[1.0] - 1)
    assert found.block_gb == 0.5
    assert max(found.needs.values()) == needs[0.5]
    assert room(config, tmp_path, needs[0.5] - 1).block_gb == 0.25


def test_a_model_that_does_not_fit_is_refused_with_what_it_needs(config, tmp_path):
    found = room(config, tmp_path, 0.5e9)
    assert found.block_gb == memory.BLOCKS_GB[-1]
    needed = found.needs["interpolate", "m"]
    with pytest.raises(
        InputError, match=rf"^model m: interpolate needs about {needed / 1e9:.2g} GB .* 0.5 GB of .*\(0.5\)"
    ):
        memory.check(found, KEYS, 0.5)
    with pytest.raises(InputError, match=r"\(auto, three quarters of what is free\)"):
        memory.check(found, KEYS, "auto")
    # Finished jobs need no memory, and jobs that fit are not refused.
    memory.check(found, [], 0.5)
    memory.check(room(config, tmp_path, 1.01 * needed), KEYS, 0.5)
    memory.check(room(config, tmp_path, None), KEYS, "auto")


def test_the_budget_is_told_or_three_quarters_of_what_is_free(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 8e9})())
    assert memory.budget_of("auto") == 6e9
    assert memory.budget_of(2.5) == 2.5e9


def test_the_scheduler_is_told_what_jobs_take(config, tmp_path):
    shared = room(config, tmp_path, 20e9)
    needed = shared.needs["interpolate", "m"] / 1e6
    assert shared.megabytes("interpolate", "m") == round(needed)
    assert shared.megabytes("interpolate", "of an unknown shape") == memory.UNKNOWN_MB
    assert shared.megabytes_together() == 20000
    # Every job must fit on its own, or the scheduler would never start it.
    small = room(config, tmp_path, 1e6)
    assert small.megabytes_together() >= max(small.megabytes(*key) for key in small.needs)
    assert small.megabytes_together() >= memory.UNKNOWN_MB
