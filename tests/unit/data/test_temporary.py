"""Test that what a killed process was writing is removed, and that what another one is writing is not."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from plateaus.data.temporary import name_beside, remove_left


def _make(folder: Path) -> None:
    name_beside(folder / "a.parquet").write_text("half")
    weights = name_beside(folder / "deep" / "model-12345678")
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_text("half")


def test_only_what_a_process_of_this_machine_left_behind_is_removed(tmp_path):
    maker = multiprocessing.get_context("fork").Process(target=_make, args=(tmp_path,))
    maker.start()
    maker.join()
    left = sorted(tmp_path.glob("**/.*.tmp"))
    assert len(left) == 2
    mine = name_beside(tmp_path / "a.parquet")
    elsewhere = tmp_path / f".a.parquet.elsewhere-{maker.pid}-00000000.tmp"
    others = [mine, elsewhere, tmp_path / "a.parquet", tmp_path / ".lock", tmp_path / ".notes.tmp"]
    for path in others:
        path.write_text("kept")
    assert f"-{os.getpid()}-" in mine.name
    assert remove_left(tmp_path) == left
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path):
    assert remove_left(tmp_path / "none") == []
