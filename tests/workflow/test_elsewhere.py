"""The workflow runs in another folder than its own: with --directory, and as a module of another workflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.workflow import forked
from tests.workflow.project import Project, environment

OTHER = """
configfile: "test.yaml"

module plateaus:
    snakefile: "{snakefile}"
    config: config

use rule * from plateaus as plateaus_*

rule mine:
    default_target: True
    input:
        rules.plateaus_report.output.page,
    output:
        "mine.txt",
    shell:
        "wc -c {{input}} > {{output}}"
"""
PART = [f"results/tiny/data/tiny/{stage}/s{shard}-of-2.parquet" for stage in ("extract", "spline") for shard in (0, 1)]
"""Files that need models, prompts and code, and not much time."""


@pytest.fixture
def elsewhere(finished: Project, tmp_path: Path) -> Project:
    """A folder with the files of a user of the workflow, and nothing of the workflow itself."""
    for name in ("test.yaml", "pairs.tsv", "suite.tsv"):
        shutil.copy2(finished.folder / name, tmp_path / name)
    shutil.copytree(finished.folder / "tiny-model", tmp_path / "tiny-model")
    return Project(tmp_path)


def same(elsewhere: Project, finished: Project) -> None:
    found = elsewhere.digests("results/tiny/data/**/*.parquet")
    assert set(PART) <= set(found)
    expected = finished.digests("results/tiny/data/**/*.parquet")
    assert found == {name: expected[name] for name in found}


def test_another_directory(elsewhere: Project, finished: Project):
    arguments = ["--snakefile", str(finished.folder / "Snakefile"), "--directory", str(elsewhere.folder)]
    done = forked.run(
        [*arguments, "--configfile", str(elsewhere.folder / "test.yaml"), "--cores", "2", "--", *PART],
        finished.folder.parent, environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    same(elsewhere, finished)


def test_a_module_of_another_workflow(elsewhere: Project, finished: Project):
    text = OTHER.format(snakefile=finished.folder / "Snakefile")
    (elsewhere.folder / "Snakefile").write_text(text, encoding="utf-8")
    planned = elsewhere.planned()
    assert planned.pop("mine") == 1
    assert planned["plateaus_interpolate"] == 4
    assert planned["plateaus_report"] == 1
    done = elsewhere.forked("--cores", "2", "--", *PART)
    assert done.returncode == 0, done.stdout + done.stderr
    same(elsewhere, finished)


def test_the_default_config_and_its_prompts_are_found_from_elsewhere(finished: Project, tmp_path: Path):
    done = forked.run(
        ["--snakefile", str(finished.folder / "Snakefile"), "-n", "--cores", "1"], tmp_path, environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "interpolate" in done.stdout + done.stderr
