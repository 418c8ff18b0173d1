"""A copy of the repository with a tiny model and three pairs, and the ways in which tests run Snakemake on it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml

from tests.workflow import forked

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "environment.yml", "workflow", "src", "config", "report", "profiles")
CONFIG: dict[str, Any] = {
    "run": "tiny",
    "models": {
        "tiny": {"source": "local", "path": "tiny-model"},
        "tiny-random": {"source": "random", "like": "tiny", "seed": 1},
    },
    "prompts": {"table": "pairs.tsv", "suite": "suite.tsv", "sample": 1, "shards": 2},
    "interpolate": {"steps": 7},
    "map": {"points": 4, "coarse_points": 3},
    "robustness": {"pairs": 1},
    "figures": {"pairs": ["house-big-in", "house-big-large"], "depths": [1, 2]},
}
PAIRS = """id\tcontext\ta\tb\ttags
house-big-in\tThe house was\tbig\tin\tpublished
house-big-large\tThe house was\tbig\tlarge\tpublished
car-red-small\tThe car is\tred\tsmall\t
"""
SUITE = """id\tcontext\ta\tb\ttags
suite-1\tThe car was\told\ton\tsuite;cross-pos;natural
suite-2\tThe car was\tsmall\tred\tsuite;same-pos;natural
suite-3\tThe house is\told\tbig\tsuite;same-pos;natural
"""


class Project:
    """One copy; `folder` is its root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, model: Path) -> Project:
        """Copy the repository's parts and write the tiny config and prompt tables."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy2(source, folder / part)
        shutil.copytree(model, folder / "tiny-model")
        (folder / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
        (folder / "suite.tsv").write_text(SUITE, encoding="utf-8")
        project = cls(folder)
        project.configure(CONFIG)
        return project

    def copy(self, folder: Path) -> Project:
        """A second copy with all results and Snakemake's records, times of modification kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def configure(self, config: dict[str, Any]) -> None:
        """Write the config that runs use."""
        (self.folder / "test.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command line of a Snakemake call."""
        return [sys.executable, "-m", "snakemake", "--configfile", "test.yaml", *arguments]

    def start(self, *arguments: str) -> BaseProcess:
        """Start Snakemake in a process group of its own, without the time that it takes to start."""
        files = (self.folder / "out.txt", self.folder / "err.txt")
        return forked.start(["--configfile", "test.yaml", *arguments], self.folder, environment(), *files)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=environment(),
            text=True,
            capture_output=True,
            timeout=1200,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def forked(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake as `run` does, without the time that it takes to start; its exit status is not checked."""
        return forked.run(["--configfile", "test.yaml", *arguments], self.folder, environment())

    def planned(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run plans; empty when there is nothing to do."""
        done = self.forked("-n", *arguments)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        table = re.search(r"^job +count\n-+ +-+\n((?:\S+ +\d+\n)+)", output, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in output, output
            return {}
        counts = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        return {name: count for name, count in counts.items() if name not in ("total", "all")}

    def digests(self, pattern: str = "results/**/*.parquet") -> dict[str, str]:
        """Path to sha256 of all files that fit a pattern."""
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.glob(pattern))
            if path.is_file()
        }


def environment() -> dict[str, str]:
    """The tests' environment without anything that names the repository the tests run from."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
