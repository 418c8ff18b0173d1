"""Make .venv and install what the lock says; where that has been done, return at once.

    python3 tools/setup_env.py

The system's Python runs this, so it uses the standard library only, and an old Python must be able to read it
far enough to say that it is too old. What pip says goes to .venv/setup.log. A stamp, .venv/.ready, is written
last, and an environment whose set-up did not end is made afresh: it is never mistaken for a complete one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
OTHERS = ("python3.13", "python3.12", "python3.11")
"""Those the lock is known to install on; one is looked for where the Python that runs this is another."""

PYTHON = getattr(sys, "_base_executable", sys.executable)
"""Not that of an activated environment, which may be the very one to be made."""

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
READY = VENV / ".ready"
UNFINISHED = VENV / ".unfinished"
LOG = VENV / "setup.log"

LOCK = "requirements.lock"
LOCK_WITHOUT_DEPENDENCIES = "requirements-nodeps.lock"
INPUTS = (LOCK, LOCK_WITHOUT_DEPENDENCIES, "pyproject.toml", "tools/setup_env.py")

QUARTO = "quarto-cli==1.9.38"
QUARTO_SECONDS = 60
NO_QUARTO = "Quarto could not be installed; the built-in renderer will make the report"

GIGABYTES = {"cpu": 3, "gpu": 9}
"""Free disk space that the set-up needs, with pip's temporary files."""


class SetupError(Exception):
    """What stopped the set-up, and how to mend it, for the person who started it."""


# ---- what there is -------------------------------------------------------------------------------


def fingerprint() -> str:
    """What the environment is made from, as the stamp records it: this folder and what the inputs say."""
    content = hashlib.sha256()
    for name in INPUTS:
        content.update((ROOT / name).read_bytes() + b"\0")
    return f"{ROOT}\n{content.hexdigest()}\n"


def works(*command: object) -> bool:
    """Whether a command runs, within 30 seconds, and succeeds."""
    words, silent = [str(word) for word in command], subprocess.DEVNULL
    try:
        done = subprocess.run(words, stdin=silent, stdout=silent, stderr=silent, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def ready() -> bool:
    """Whether the environment is complete and up to date."""
    with contextlib.suppress(OSError):
        return READY.read_text() == fingerprint() and os.access(str(VENV / "bin" / "python"), os.X_OK)
    return False


def gpu() -> bool:
    """Whether this is a Linux machine with an NVIDIA GPU."""
    return sys.platform == "linux" and (bool(shutil.which("nvidia-smi")) or Path("/dev/nvidia0").exists())


def torch_pin() -> str:
    """The lock's line for torch, such as torch==2.13.0."""
    return next(line for line in (ROOT / LOCK).read_text().splitlines() if line.startswith("torch=="))


# ---- running things ------------------------------------------------------------------------------


def run(*command: object, seconds: "float | None" = None, **environment: str) -> bool:
    """Run a command with its output in the log, and its children ended with it.

    Args:
        command: the program and its arguments.
        seconds: how long it may take; None is for ever.
        environment: variables to set besides those there are.

    Returns:
        Whether it succeeded within that time.
    """
    words = [str(word) for word in command]
    variables = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0", **environment)
    for name in ("PYTHONPATH", "PYTHONHOME"):
        variables.pop(name, None)
    with LOG.open("a") as log:
        log.write("\n$ " + " ".join(words) + "\n")
        log.flush()
        process = subprocess.Popen(
            words,
            cwd=str(ROOT),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # to end all of it at once
            close_fds=False,  # to hand on the lock of alone()
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            log.write(f"Ended after {seconds} s.\n")
            return False
        finally:
            with contextlib.suppress(OSError):  # whatever it left behind, if anything
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def pip(*arguments: object, seconds: "float | None" = None, **environment: str) -> bool:
    """Run the environment's pip, and say whether it succeeded."""
    return run(VENV / "bin" / "python", "-m", "pip", *arguments, seconds=seconds, **environment)


def install(*arguments: object) -> None:
    """Install with the environment's pip, or explain why that cannot be done."""
    if pip("install", *arguments):
        return
    with contextlib.suppress(OSError):
        raise SetupError(explain(LOG.read_text(errors="replace").rpartition("\n$ ")[2]))
    raise SetupError("pip failed, and its log cannot be read")


def explain(output: str) -> str:
    """One message from what pip printed: the known cause in a line, or else the last things it said."""
    log = f"pip's whole output is in {LOG}"
    if "No space left on device" in output:
        return f"the disk is full, here or where temporary files go (TMPDIR); {log}"
    lines = [line.rstrip() for line in output.splitlines()[1:] if line.strip()]
    lines = [line for line in lines if not line.startswith(("WARNING: Location", "[notice]"))]
    errors = [line for line in lines if line.lstrip().lower().startswith("error")]
    return "\n    ".join([f"pip could not install everything; {log}", *(errors or lines)[-6:]])


@contextlib.contextmanager
def step(name: str) -> "Iterator[None]":
    """Print what is being done, and when it is done how long it took."""
    print(f"  {name:<34}", end="", flush=True)
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        print("stopped", flush=True)
        raise
    print(f"{time.monotonic() - begun:4.0f} s", flush=True)


@contextlib.contextmanager
def alone() -> "Iterator[None]":
    """Wait for any other set-up in this folder, and for the pip of one that was killed; keep others out."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another set-up in this folder ...", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


# ---- the steps -----------------------------------------------------------------------------------


def check_machine() -> None:
    """Stop, with the mend, where the set-up could not succeed."""
    if not works(PYTHON, "-c", "import venv, ensurepip"):
        raise SetupError(
            f"{PYTHON} has no working venv module: on Debian or Ubuntu, `apt install python3-venv`, "
            f"or python{sys.version_info[0]}.{sys.version_info[1]}-venv for this very Python"
        )
    need, free = GIGABYTES["gpu" if gpu() else "cpu"], shutil.disk_usage(str(ROOT)).free / 1e9
    if free < need and not VENV.exists():
        raise SetupError(f"{ROOT} has {free:.1f} GB free and the packages need {need}: make room")


def make_environment() -> None:
    """Make .venv, unless there is one to go on with: one that is complete, or one that a person made."""
    made_here = READY.exists()
    moved = made_here and READY.read_text().splitlines()[:1] != [str(ROOT)]
    python = VENV / "bin" / "python"
    usable = works(python, "-c", f"import pip, sys; sys.exit(sys.version_info < {OLDEST})")
    if UNFINISHED.exists() or moved or (made_here and not usable):
        shutil.rmtree(str(VENV))
    elif VENV.exists() and any(VENV.iterdir()) and not usable:
        raise SetupError(f"{VENV} was not made by this set-up, and has no pip or too old a Python: move it away")
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    with contextlib.suppress(FileNotFoundError):
        READY.unlink()
    if not python.exists() and not run(PYTHON, "-m", "venv", VENV):
        raise SetupError(f"{PYTHON} -m venv failed; what it said is in {LOG}")


def install_torch() -> None:
    """Install torch by itself: without a GPU its CPU build, where one is offered, a tenth of the size."""
    pin = torch_pin()
    if sys.platform != "linux" or gpu() or not pip("install", pin + "+cpu", "-c", LOCK):
        install(pin, "-c", LOCK)


def install_quarto() -> bool:
    """Install Quarto, unless there is one; it comes from its own site, which not every machine reaches.

    Returns:
        Whether there is a Quarto that runs. Where not, nothing of it is left.
    """
    quarto = VENV / "bin" / "quarto"
    if shutil.which("quarto") or (quarto.exists() and works(quarto, "--version")):
        return True
    temporary = VENV / "tmp"
    temporary.mkdir(exist_ok=True)
    try:
        done = pip("install", QUARTO, seconds=QUARTO_SECONDS, TMPDIR=str(temporary))
        if done and works(quarto, "--version"):
            return True
        pip("uninstall", "--yes", "quarto-cli")
        with contextlib.suppress(FileNotFoundError):
            quarto.unlink()
        return False
    finally:
        shutil.rmtree(str(temporary), ignore_errors=True)


def set_up() -> None:
    """Every step, the stamp last."""
    begun = time.monotonic()
    check_machine()
    print("Setting up .venv with Python {}.{}.{}:".format(*sys.version_info[:3]), flush=True)
    with step("virtual environment"):
        make_environment()
    with step("PyTorch"):
        install_torch()
    with step("packages of the lock"):
        install("-r", LOCK)
    with step("weights of the default model"):
        install("--no-deps", "-r", LOCK_WITHOUT_DEPENDENCIES)
    with step("this package"):  # with the lock's setuptools, so that nothing more is downloaded
        install("--no-deps", "--no-build-isolation", "--editable", ".")
    with step("Quarto"):
        quarto = install_quarto()
    if not quarto:
        print("  " + NO_QUARTO)
    temporary = READY.with_suffix(".new")
    temporary.write_text(fingerprint())
    temporary.replace(READY)
    UNFINISHED.unlink()
    print(f"Ready after {time.monotonic() - begun:.0f} s.", flush=True)


# ---- the command ---------------------------------------------------------------------------------


def other_python() -> "str | None":
    """The path of a Python that the lock is known to install on, if the PATH has one."""
    found = (shutil.which(name) for name in OTHERS)
    return next((path for path in found if path and works(path, "-c", "import venv, ensurepip")), None)


def too_old() -> int:
    """Say that this Python is too old, and return the exit status."""
    found, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
    print(
        f"Python {found} is too old: put Python {oldest} or later on the PATH, or name it",
        end=" ",
        file=sys.stderr,
    )
    print("as in `make report PYTHON=/path/to/python3`", file=sys.stderr)
    return 1


def interrupt(number: int, frame: object) -> None:
    """Treat a request to end as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Set up if need be; print one line where that fails.

    Returns:
        The exit status.
    """
    if ready():
        return 0
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        other = other_python()
        if other:
            return subprocess.call([other, __file__])
        if sys.version_info < OLDEST:
            return too_old()
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        with alone():
            if not ready():
                set_up()
    except (SetupError, OSError) as error:
        print(f"Set-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Set-up interrupted. The same command starts it afresh.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
