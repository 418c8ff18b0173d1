"""What all fault tests share: an undisturbed run, comparison with it, the processes of a run, and the table at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests import tiny
from tests.workflow.project import Project, environment

RESULTS = ("data/**/*.parquet", "figures/**/*.*", "claims.*")
"""What must be byte for byte that of the undisturbed run, below results/tiny."""
TIMEOUT = 900


class Tally:
    """How many faults of each kind were tried, and how many ended as they should."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.tried: Counter[str] = Counter()
        self.lost: list[tuple[str, str]] = []

    def add(self, kind: str, problem: str | None = None) -> None:
        """Count one fault; `problem` says in words what was lost, if anything."""
        self.tried[kind] += 1
        if problem is not None:
            self.lost.append((kind, problem))
            print(f"LOST  {kind}: {problem}", flush=True)

    def show(self) -> bool:
        """Print the table, and return whether nothing was lost."""
        lost = Counter(kind for kind, _ in self.lost)
        print(f"\n{self.title:<60} tried  recovered  lost")
        for kind, tried in sorted(self.tried.items()):
            print(f"  {kind:<58} {tried:5}  {tried - lost[kind]:9}  {lost[kind]:4}")
        total = self.tried.total()
        print(f"  {'all':<58} {total:5}  {total - lost.total():9}  {lost.total():4}", flush=True)
        return not self.lost


def undisturbed(work: Path) -> Project:
    """Run the tiny workflow once and leave it alone."""
    folder = work / "undisturbed"
    if folder.is_dir() and not (folder / "done").is_file():
        shutil.rmtree(folder)
    if not folder.is_dir():
        project = Project.create(folder, tiny.save("llama", work / "tiny-model"))
        status, said = run(project)
        assert status == 0, said
        (folder / "done").touch()
    return Project(folder)


def fresh(undisturbed: Project, folder: Path, *, finished: bool = False) -> Project:
    """Make another copy of the project: with all results, or with none."""
    shutil.rmtree(folder, ignore_errors=True)
    if finished:
        return undisturbed.copy(folder)
    return Project.create(folder, undisturbed.folder / "tiny-model")


def snakemake(*arguments: str) -> list[str]:
    """The command line as a user gives it."""
    return [str(Path(sys.executable).with_name("snakemake")), "--configfile", "test.yaml", *arguments]


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start the workflow in a session of its own; what it says goes to out.txt in the project."""
    with (project.folder / "out.txt").open("w", encoding="utf-8") as out:
        return subprocess.Popen(
            snakemake("--cores", "2", *arguments),
            cwd=project.folder,
            env=environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run(project: Project, *arguments: str, prefix: tuple[str, ...] = (), **variables: str) -> tuple[int, str]:
    """Run the workflow to its end, and return its exit status and all that it said."""
    done = subprocess.run(
        [*prefix, *snakemake("--cores", "2", *arguments)],
        cwd=project.folder,
        env=environment() | variables,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stdout


def digests(project: Project) -> dict[str, str]:
    """Path to sha256 of every result that must not differ."""
    root = project.folder / "results" / "tiny"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in RESULTS
        for path in root.glob(pattern)
        if path.is_file() and path.name[0] != "."
    }


def differences(project: Project, undisturbed: Project, *, complete: bool) -> str | None:
    """Say which results differ from the undisturbed run's; those that are missing count only in a complete run."""
    found, expected = digests(project), digests(undisturbed)
    assert expected
    wrong = sorted(path for path in found if found[path] != expected.get(path))
    if complete:
        wrong += sorted(f"{path} (missing)" for path in set(expected) - set(found))
    return f"{len(wrong)} results differ: {', '.join(wrong[:4])}" if wrong else None


def not_recovered(project: Project, undisturbed: Project, *arguments: str) -> str | None:
    """Give the command again until it is done, at most three times; say what is wrong with the outcome, if anything."""
    for _ in range(3):
        status, said = run(project, *arguments)
        if status == 0:
            break
    else:
        return f"the command does not end well: {said[-600:]}"
    if problem := differences(project, undisturbed, complete=True):
        return problem
    status, said = run(project, "-n", *arguments)
    if "Nothing to be done" not in said:
        return f"there is still something to do: {said[-400:]}"
    if not (project.folder / "results" / "tiny" / "report" / "index.html").is_file():
        return "there is no report"
    left = [path for path in project.folder.rglob(".*.tmp") if ".snakemake" not in path.parts]
    return f"temporary files are left: {', '.join(map(str, left[:3]))}" if left else None


class Process:
    """A process of a run, as /proc describes it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # After the name, which may hold anything: state, parent, ...
        self.parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        self.command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def processes(project: Project) -> dict[int, Process]:
    """All processes whose working directory is the project's folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(project.folder):
                    found[int(entry.name)] = Process(int(entry.name))
            except OSError:
                continue  # it has ended
    return found
