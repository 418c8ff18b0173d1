"""Snakemake in a fork of a process that has imported it: the command line as a user runs it, without its start-up.

Two thirds of a dry run are Python and Snakemake starting. The process that is forked holds nothing of this package, so
each fork reads the package, the Snakefile and the config of the folder that it is run in.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess

PRELOADED = [
    *("snakemake.cli", "snakemake.report.html_reporter", "smart_open", "filelock"),
    *("jsonschema", "pandas", "psutil", "pyarrow.compute", "pyarrow.parquet", "tokenizers", "yaml"),
]


def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> CompletedProcess[str]:
    """Run `snakemake ARGUMENTS` in a folder, to its end.

    Args:
        arguments: The command line after the program's name.
        folder: The working directory.
        environment: All environment variables.
    """
    with tempfile.TemporaryDirectory() as temporary:
        out, err = (Path(temporary) / name for name in ("out", "err"))
        process = start(arguments, folder, environment, out, err)
        process.join(600)
        assert process.exitcode is not None, "snakemake did not end within ten minutes"
        return CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def start(arguments: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> BaseProcess:
    """Start `snakemake ARGUMENTS` in a process group of its own, with its output in two files."""
    process: BaseProcess = _server().Process(target=_child, args=(arguments, folder, environment, out, err))
    process.start()
    return process


def _child(arguments: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    loaded = [name for name in sys.modules if name.partition(".")[0] == "plateaus"]
    assert not loaded, f"the forked process holds {loaded} of another folder"
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    main(arguments)
