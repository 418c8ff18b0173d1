"""One start-up for all jobs of a run: a process that has imported the libraries is forked for each job.

    python -m plateaus.run.warm STAGE ARGUMENT ...      does what  python -m plateaus.stages.STAGE ARGUMENT ...  does

Importing torch, transformers and TransformerLens takes longer than the work of a small job. The first job of a run that
loads a model therefore starts a process that imports them, and this job and all later ones are forks of that process.
The process ends when Snakemake does. A fork imports this package itself, so each job runs the code that is on disk.

A job starts by itself wherever no such process is offered: on clusters, on systems other than Linux, and on machines
with an accelerator, which a forked process cannot use safely once its parent has touched the driver.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

OFFERED = "PLATEAUS_WARM_DRIVER"
"""Environment variable with the id of the process, usually Snakemake's, whose jobs may share a start-up."""
STAGES = frozenset({"fetch", "extract", "interpolate", "freeze", "jacobian", "spline", "map", "robustness"})
"""The stages that load a model."""
LIBRARIES = (
    "torch",
    "numpy",
    "pyarrow.parquet",
    "tokenizers",
    "transformers.models.auto",
    "transformer_lens.model_bridge",
)
MESSAGE_BYTES = 2**22


def offer() -> None:
    """Let the jobs of this process share a start-up, where that is safe and none is offered by a process above it."""
    above = os.environ.get(OFFERED, "")
    if sys.platform == "linux" and not (above.isdigit() and _is_running(int(above))):
        os.environ[OFFERED] = str(os.getpid())


def main() -> None:
    """Run a stage: as a fork of the shared process if there is one, else here."""
    stage, *arguments = sys.argv[1:]
    module, driver = f"plateaus.stages.{stage}", os.environ.get(OFFERED)
    if driver is not None and stage in STAGES and not _asks_the_hub(arguments):
        status = ask(place_of(int(driver)), module, arguments, int(driver))
        if status is not None:
            sys.exit(status)
    _run(module, arguments)


def _asks_the_hub(arguments: Sequence[str]) -> bool:
    """Whether this is a download, which the libraries of the shared process are told to leave alone."""
    text = _option(arguments, "--slice")
    return text is not None and json.loads(text).get("source") == "hub"


def _option(arguments: Sequence[str], name: str) -> str | None:
    return dict(itertools.pairwise(arguments)).get(name)


def place_of(driver: int) -> Path:
    """The folder in which the processes of a run meet."""
    return Path(tempfile.gettempdir()) / f"plateaus-{os.getuid()}-{driver}"


# ---- a job's side ----------------------------------------------------------------------------------------------


def ask(
    place: Path, module: str, arguments: Sequence[str], driver: int, libraries: Sequence[str] = LIBRARIES
) -> int | None:
    """Have a module run as a fork of the shared process, which is started if it is not there yet.

    Args:
        place: See `place_of`.
        module: What to run as `__main__`.
        arguments: Its command line.
        driver: The process whose end also ends the shared process.
        libraries: What the shared process imports.

    Returns:
        The exit status, or None if there is no shared process and none can be started.
    """
    try:
        connection = _connect(place, arguments, driver, libraries)
    except OSError:
        return None
    request = {
        "module": module,
        "arguments": list(arguments),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "path": sys.path,
    }
    with connection:
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [1, 2])
        answer = ""
        with contextlib.suppress(ConnectionError):
            answer = connection.makefile().read()
    if not answer:
        print(f"error: {module}: the process that ran this job ended without an answer: run again", file=sys.stderr)
    return int(answer or 1)


def _connect(place: Path, arguments: Sequence[str], driver: int, libraries: Sequence[str]) -> socket.socket:
    from filelock import FileLock

    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise PermissionError(f"{place} belongs to another user")
    with FileLock(place / "lock"):
        with contextlib.suppress(OSError):
            return _dial(place)
        (place / "socket").unlink(missing_ok=True)  # of a process that was killed
        threads = _option(arguments, "--threads") or "1"  # as many as each of the run's jobs has
        told = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        program = f"from plateaus.run import warm; warm.serve({str(place)!r}, {driver}, {tuple(libraries)!r})"
        with (place / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **told},
            )
        while server.poll() is None:
            with contextlib.suppress(OSError):
                return _dial(place)
            time.sleep(0.01)
        raise OSError("the shared process ended as it began")


def _dial(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(place / "socket"))
    except OSError:
        connection.close()
        raise
    return connection


# ---- the shared process ----------------------------------------------------------------------------------------


def serve(place: str, driver: int, libraries: Sequence[str]) -> None:
    """Import the libraries, then fork for every request until the driver has ended."""
    from plateaus.sources.quiet import OFFLINE

    os.environ.update(OFFLINE)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(Path(place) / "socket"))
    listener.listen(64)  # jobs that ask while the libraries are being imported wait
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tidy(Path(place))
    for name in libraries:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended forks leave nothing to collect
    listener.settimeout(0.5)
    while _is_running(driver):
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            _attend(connection)
            os._exit(0)
        connection.close()
    shutil.rmtree(place, ignore_errors=True)


def _tidy(place: Path) -> None:
    """Remove the folders of runs that were killed."""
    for other in place.parent.glob(f"plateaus-{os.getuid()}-*"):
        driver = other.name.rpartition("-")[2]
        if driver.isdigit() and not _is_running(int(driver)):
            shutil.rmtree(other, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _attend(connection: socket.socket) -> None:
    """Run one job in a fork, answer with its exit status, and kill the job if the process that asked for it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 2)
    while not text.endswith(b"\n"):
        more = connection.recv(MESSAGE_BYTES)
        if not more:
            return
        text += more
    request = json.loads(text)
    alive, held_by_job = os.pipe()
    job = os.fork()
    if job == 0:
        connection.close()
        os.close(alive)
        _become(request, files)
    os.close(held_by_job)
    ended, _, _ = select.select([alive, connection.fileno()], [], [])
    if alive not in ended:
        os.kill(job, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(str(status if status >= 0 else 128 - status).encode())


def _become(request: dict[str, object], files: Sequence[int]) -> None:
    """Turn this fork into the job, and never return."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for number, file in zip((1, 2), files, strict=True):
            os.dup2(file, number)
        os.chdir(str(request["folder"]))
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        sys.path[:] = request["path"]  # type: ignore[call-overload]
        for name in [name for name in sys.modules if name.partition(".")[0] == "plateaus"]:
            del sys.modules[name]
        status = _status_of(str(request["module"]), request["arguments"])  # type: ignore[arg-type]
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _status_of(module: str, arguments: Sequence[str]) -> int:
    try:
        _run(module, arguments)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _run(module: str, arguments: Sequence[str]) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
