"""Jobs that share a start-up: each is a process of its own, with its own output, status and end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from plateaus.run import warm

JOB = """
import json, os, sys
from pathlib import Path
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["OWN"], os.getppid(), "decimal" in sys.modules]), flush=True)
print("said to stderr", file=sys.stderr)
if sys.argv[1] == "sleep":
    Path("pid").write_text(str(os.getpid()))
    import time
    time.sleep(60)
if sys.argv[1] == "crash":
    raise RuntimeError("it broke")
sys.exit({"fail": 3, "text": "a message"}.get(sys.argv[1], 0))
"""
ASK = """
import sys
from pathlib import Path
from plateaus.run import warm
sys.exit(warm.ask(Path(sys.argv[1]), "shared_job", sys.argv[3:], int(sys.argv[2]), ["decimal"]))
"""


class Run:
    """A folder with a module to run, and the process whose jobs share a start-up."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "place"
        (folder / "shared_job.py").write_text(JOB)
        self.driver = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ASK, str(self.place), str(self.driver.pid), *arguments]
        environment = {**os.environ, "OWN": arguments[0], "PYTHONPATH": str(self.folder)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def ask(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def end(self) -> None:
        self.driver.kill()
        self.driver.wait()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.end()


def gone(what, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not what()


def test_a_job_has_its_own_arguments_folder_environment_output_and_status(run: Run):
    results = [run.ask(kind, "more") for kind in ("work", "fail", "text")]
    assert [status for status, _, _ in results] == [0, 3, 1]
    for kind, (_, out, err) in zip(("work", "fail", "text"), results, strict=True):
        assert f'[["{kind}", "more"], "{run.folder}", "{kind}", ' in out
        assert out.strip().endswith("true]")  # the library had been imported before the job began
        assert err.startswith("said to stderr")
    assert results[2][2].endswith("a message\n")
    status, _, err = run.ask("crash")
    assert status == 1
    assert err.endswith("RuntimeError: it broke\n")


def test_a_job_ends_with_the_one_who_asked_for_it(run: Run):
    asking = run.start("sleep")
    assert gone(lambda: not (run.folder / "pid").is_file())  # until it has begun
    job = int((run.folder / "pid").read_text())
    asking.kill()
    asking.communicate()
    assert gone(lambda: psutil.pid_exists(job))


def test_the_shared_process_ends_with_the_run_and_leaves_nothing(run: Run):
    run.ask("work")
    assert run.place.is_dir()
    run.end()
    assert gone(run.place.exists)


def test_a_shared_process_that_was_killed_is_started_again_and_its_folder_removed(run: Run):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = run.folder / f"plateaus-{os.getuid()}-{ended.pid}"
    left.mkdir()
    run.ask("work", "more " * 20_000)  # a request of many packets
    assert not left.exists()
    listed = psutil.process_iter(["cmdline"])
    (server,) = [one for one in listed if f"serve('{run.place}'" in " ".join(one.info["cmdline"] or [])]
    server.kill()
    assert run.ask("fail")[0] == 3


def test_a_job_whose_answer_never_comes_is_one_line(run: Run):
    asking = run.start("sleep")
    assert gone(lambda: not (run.folder / "pid").is_file() or not (run.folder / "pid").read_text())
    job = psutil.Process(int((run.folder / "pid").read_text()))
    attending = job.parent()
    assert attending is not None
    attending.kill()
    job.kill()
    assert asking.wait(10) == 1
    assert asking.stderr is not None
    said = asking.stderr.read()
    assert said.endswith("error: shared_job: the process that ran this job ended without an answer: run again\n"), said


@pytest.mark.parametrize("above", ["", "ended", "running"])
def test_a_start_up_is_offered_unless_a_running_process_offers_one(above, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    running = os.getppid()
    monkeypatch.setenv(warm.OFFERED, {"": "", "ended": str(ended.pid), "running": str(running)}[above])
    warm.offer()
    assert int(os.environ[warm.OFFERED]) == (running if above == "running" else os.getpid())


def test_where_none_can_be_started_the_job_runs_by_itself(run: Run):
    run.place.write_text("in the way")
    command = f"from plateaus.run import warm; from pathlib import Path; print(warm.ask(Path({str(run.place)!r}), 'm', [], 1))"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout == "None\n"
