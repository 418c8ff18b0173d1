"""Faults other than kill -9: each must end in clear lines and status 1, and a later run in the bytes of one left alone.

Full and read-only disks are mounted over a folder of the project, which needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.common import Tally, fresh, not_recovered, run, start
from tests.workflow.project import CONFIG, Project

Fault = Callable[[Project, Project], str | None]
"""A fault in the first project, with the undisturbed run as the second; says what was wrong, or nothing."""
TRACES = ("Traceback", "Error:", "Exception")
"""What a user should not see: a traceback, and the names of Python's exceptions."""


def refused(project: Project, *parts: str, prefix: tuple[str, ...] = ()) -> str | None:
    """Run, and check that the run is refused in one line that has these parts."""
    return refusal(*run(project, prefix=prefix), *parts)


def refusal(status: int, said: str, *parts: str, jobs: bool = False) -> str | None:
    """Check what a refused run said."""
    lines = [line for line in said.splitlines() if line.startswith("error:")]
    print("    " + "\n    ".join(line[:230] for line in lines), flush=True)
    if status != 1:
        return f"status {status} in place of 1: {said[-300:]}"
    if not lines or (len(lines) != 1 and not jobs):
        return f"{len(lines)} lines say what is wrong: {said[-600:]}"
    if found := [word for word in TRACES if word in said]:
        return f"it says {found[0]}: {said[-600:]}"
    missing = [part for part in parts if not any(part in line for line in lines)]
    return f"no line says '{missing[0]}': {lines[0]}" if missing else None


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[None]:
    """Put a disk of that size over a folder, with what the folder holds; its content is moved back afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{folder.name}-aside")
    shutil.copytree(folder, aside, symlinks=True)
    mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", folder)
    try:
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        shutil.rmtree(aside)
        shutil.copytree(folder, aside, symlinks=True)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder)
        aside.rename(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, for root as well."""
    mount("--bind", folder, folder)
    mount("-o", "remount,ro,bind", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Fill a disk with a file, except for so many bytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        size = 0
        try:
            while True:
                size += file.write(b"x" * 4096)
        except OSError:
            file.truncate(max(0, size - left))
    return path


def unfinished(project: Project) -> None:
    """Take away the tables that come after the stage extract."""
    for path in (project.folder / "results" / "tiny" / "data").glob("*/*/*.parquet"):
        if path.parent.name != "extract":
            path.unlink()


# ---- the faults --------------------------------------------------------------------------------------------------


def results_too_small(project: Project, _: Project) -> str | None:
    shutil.rmtree(project.folder / "results")
    with small_disk(project.folder / "results", 0.5):
        return refused(project, "GB free and this run needs about")


def models_too_small(project: Project, _: Project) -> str | None:
    shutil.rmtree(project.folder / "resources")
    with small_disk(project.folder / "resources", 0.05):
        return refused(project, "resources", "GB free and this run needs about")


def full_before_the_start(project: Project, _: Project) -> str | None:
    with small_disk(project.folder / "results", 40):
        fill(project.folder / "results")
        problem = refused(project, "this run needs about")
        (project.folder / "results" / "filler").unlink()
    return problem


def full_while_it_runs(project: Project, folder: str, stage: str) -> str | None:
    """Fill the disk as soon as a job of a stage has begun, and leave some pages."""
    logs = project.folder / "results" / "tiny" / "logs"
    before = {path: path.stat().st_mtime_ns for path in logs.glob(f"*/{stage}/*.log")}
    with small_disk(project.folder / folder, 60):
        driver = start(project)
        while driver.poll() is None:
            if any(before.get(path) != path.stat().st_mtime_ns for path in logs.glob(f"*/{stage}/*.log")):
                break
            time.sleep(0.01)
        filler = fill(project.folder / folder, left=8192)
        driver.wait(600)
        said = (project.folder / "out.txt").read_text(encoding="utf-8")
        filler.unlink()
    return refusal(driver.returncode, said, "No space left on device", jobs=True)


def results_fill_up(project: Project, _: Project) -> str | None:
    unfinished(project)
    return full_while_it_runs(project, "results", "interpolate")


def results_fill_up_at_the_page(project: Project, _: Project) -> str | None:
    for path in (project.folder / "results" / "tiny" / "data" / "all").glob("*/*.parquet"):
        path.unlink()
    return full_while_it_runs(project, "results", "claims")


def models_fill_up(project: Project, _: Project) -> str | None:
    shutil.rmtree(project.folder / "resources")
    shutil.rmtree(project.folder / "results")
    return full_while_it_runs(project, "resources", "fetch")


def results_read_only(project: Project, _: Project) -> str | None:
    unfinished(project)
    with read_only(project.folder / "results"):
        return refused(project, "cannot be written to", "Read-only file system")


def models_read_only(project: Project, _: Project) -> str | None:
    with read_only(project.folder / "resources"):
        return refused(project, "cannot be written to", "Read-only file system")


def clock_set_back(project: Project, _: Project) -> str | None:
    """Half of the run today; the other half two days ago, which is refused, until the clock is right again."""
    unfinished(project)
    status, said = run(project, "--until", "interpolate", "map")
    assert status == 0, said
    earlier = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "-2d")
    return refusal(*run(project, prefix=earlier), "was written on", "but the clock says", "find . -type f")


def files_of_the_future(project: Project, _: Project) -> str | None:
    """All results and inputs from a year ahead: there is nothing to do; for what there is, the files are touched first."""
    later = time.time() + 365 * 86400
    for folder in ("results", "resources", "src", "tiny-model", "pairs.tsv"):
        for path in [project.folder / folder, *(project.folder / folder).rglob("*")]:
            os.utime(path, (later, later))
    status, said = run(project, "-n")
    if status or "Nothing to be done" not in said:
        return f"there is something to do: {said[-400:]}"
    (project.folder / "results/tiny/data/tiny/sharpness/s0-of-2.parquet").unlink()
    status, said = run(project)
    problem = refusal(status, said, "was written on", "but the clock says")
    subprocess.run(said[said.index("find . ") :].splitlines()[0], cwd=project.folder, shell=True, check=True)
    return problem


def two_runs_at_once(project: Project, _: Project) -> str | None:
    unfinished(project)
    first = start(project)
    while not (project.folder / "results" / "tiny" / "data" / "tiny" / "interpolate" / "s0-of-2.parquet").is_file():
        assert first.poll() is None, "the first run ended before the second began"
        time.sleep(0.01)
    problem = refused(project, "is in use by another run (process")
    first.wait(600)
    return problem or (f"the first run ended with {first.returncode}" if first.returncode else None)


def full_tmp(project: Project, _: Project) -> str | None:
    """A full disk at /tmp, in a name space of its own."""
    unfinished(project)
    here = Path(sys.prefix).parent  # which may be below /tmp itself
    inside = f"""
        mount --bind '{here}' /mnt && mount -t tmpfs -o size=64k tmpfs /tmp
        mkdir -p '{here}' && mount --bind /mnt '{here}'
        head -c 1000000 /dev/zero > /tmp/filler 2>/dev/null
        exec "$@"
    """
    return refused(
        project,
        "the folder for temporary files, has",
        "TMPDIR",
        prefix=("unshare", "--mount", "sh", "-c", inside, "sh"),
    )


def file_of_another_run(project: Project, undisturbed: Project) -> str | None:
    """The same run with one step more, of which one table is copied over this run's, with and without its time."""
    other = undisturbed.copy(project.folder.with_name("other"))
    other.configure({**CONFIG, "interpolate": {"steps": 8}})
    status, said = run(other, "--until", "interpolate")
    assert status == 0, said
    name = Path("results/tiny/data/tiny/interpolate/s0-of-2.parquet")
    problem = None
    for copy in (shutil.copy, shutil.copy2):
        kept = (project.folder / name).read_bytes()
        copy(other.folder / name, project.folder / name)
        problem = problem or refused(project, str(name), "has changed since this run made it", "delete it")
        (project.folder / name).write_bytes(kept)
    copy(other.folder / name, project.folder / name)
    (project.folder / name).unlink()
    shutil.rmtree(other.folder)
    return problem


def truncated(project: Project, _: Project) -> str | None:
    """A table that lost its end, one that lost everything, and one with a changed byte in the middle."""
    for stage in ("interpolate", "sharpness", "extract"):
        path = project.folder / f"results/tiny/data/tiny/{stage}/s0-of-2.parquet"
        content = path.read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes({"interpolate": content[:middle], "sharpness": b"", "extract": flipped}[stage])
        if problem := refused(project, f"{stage}/s0-of-2.parquet has changed since this run made it", "delete it"):
            return problem
        path.unlink()
    return None


def truncated_before_it_was_read(project: Project, _: Project) -> str | None:
    """A table that no job has read yet."""
    unfinished(project)
    status, said = run(project, "--until", "interpolate")
    assert status == 0, said
    path = project.folder / "results/tiny/data/tiny/interpolate/s0-of-2.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    os.utime(path, (time.time() + 60,) * 2)
    problem = refused(project, "interpolate/s0-of-2.parquet has changed since this run made it", "delete it")
    path.unlink()
    return problem


FAULTS: dict[str, Fault] = {
    "results disk too small": results_too_small,
    "models disk too small": models_too_small,
    "results disk full before the start": full_before_the_start,
    "results disk fills up (interpolate)": results_fill_up,
    "results disk fills up (claims and figures)": results_fill_up_at_the_page,
    "models disk fills up (fetch)": models_fill_up,
    "results read-only": results_read_only,
    "models read-only": models_read_only,
    "clock set back by two days between two runs": clock_set_back,
    "all files a year ahead": files_of_the_future,
    "two runs at the same time": two_runs_at_once,
    "/tmp full": full_tmp,
    "a table of another run copied in": file_of_another_run,
    "tables cut, emptied and changed": truncated,
    "a table cut that no job has read": truncated_before_it_was_read,
}


def check(undisturbed: Project, work: Path, only: str) -> bool:
    """Try every fault on a finished run, and print how it went."""
    assert os.geteuid() == 0, "full and read-only disks are mounted, which needs root"
    assert shutil.which("faketime"), "faketime is missing: apt-get install -y --no-install-recommends faketime"
    tally = Tally("fault")
    for name, fault in FAULTS.items():
        if only not in name:
            continue
        print(f"{name}:", flush=True)
        project = fresh(undisturbed, work / "disturbed", finished=True)
        problem = fault(project, undisturbed)
        tally.add(name, problem or not_recovered(project, undisturbed))
    return tally.show()
