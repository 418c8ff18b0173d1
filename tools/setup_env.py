"""Make .venv with uv and install what the lock says; return immediately where that has been done.

    python3 tools/setup_env.py

The system's Python runs this, so it uses the standard library only, and an old Python must be able to read it far
enough to say that it is too old. This file does what uv cannot: it brings uv itself, tells it what pip is told on this
machine, chooses the build of torch, and writes a stamp last, so that an environment whose set-up was interrupted is
made afresh.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OLDEST, NEWEST = (3, 11), (3, 13)
OTHERS = ("python3.13", "python3.12", "python3.11")
"""The Pythons that the lock is tested on; one of them is looked for where this Python is another."""
PYTHON = getattr(sys, "_base_executable", sys.executable)
"""The Python behind an activated environment, since that environment may be the one that is to be made."""

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
READY, OURS, LOG = VENV / ".ready", VENV / ".made-by-setup", VENV / "setup.log"
LOCK, WITHOUT_DEPENDENCIES = "requirements.lock", "requirements-nodeps.lock"
INPUTS = (LOCK, WITHOUT_DEPENDENCIES, "pyproject.toml", "tools/setup_env.py")
QUARTO = "quarto-cli==1.9.38"

FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""Settings of pip, which uv does not read, and the variables by which uv is told the same."""


class SetupError(Exception):
    """What stopped the set-up, and how to mend it, for the person who started it."""


def fingerprint() -> str:
    """What the environment is made from, as the stamp records it: this folder and the content of the inputs."""
    content = hashlib.sha256()
    for name in INPUTS:
        content.update((ROOT / name).read_bytes() + b"\0")
    return f"{ROOT}\n{content.hexdigest()}\n"


def ready() -> bool:
    """Whether the environment is complete and up to date."""
    with contextlib.suppress(OSError):
        return READY.read_text() == fingerprint() and os.access(str(VENV / "bin" / "python"), os.X_OK)
    return False


def gpu() -> bool:
    """Whether this is a Linux machine with an NVIDIA GPU."""
    return sys.platform == "linux" and (bool(shutil.which("nvidia-smi")) or Path("/dev/nvidia0").exists())


def pin_of(package: str) -> str:
    """The lock's line for a package, such as torch==2.13.0."""
    return next(line for line in (ROOT / LOCK).read_text().splitlines() if line.startswith(package + "=="))


def pip_settings() -> "dict[str, str]":
    """What pip is told on this machine, as variables of uv; those that are set already are left alone."""
    asked = [PYTHON, "-m", "pip", "config", "list"]
    said = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()
    found: dict[str, str] = {}
    for name, _, value in (line.partition("=") for line in said.splitlines()):
        variable = FROM_PIP.get(name.rpartition(".")[2])
        if variable and variable not in os.environ:
            separator = "," if variable == "UV_FIND_LINKS" else " "
            found[variable] = separator.join(value.strip("'\"").replace("\\n", " ").split())
    if "UV_INDEX" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does: of all indexes, the one with the version
    return found


def tell_uv() -> None:
    """Tell uv what pip is told on this machine, and keep other environments out of its way."""
    os.environ.update(pip_settings(), UV_PYTHON_DOWNLOADS="never")
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        os.environ.pop(name, None)


def run(*command: object, seconds: "float | None" = None) -> bool:
    """Run a command with its output in the log, end its children with it, and say whether it succeeded in that time."""
    words = [str(word) for word in command]
    with LOG.open("a") as log:
        log.write("\n$ " + " ".join(words) + "\n")
        log.flush()
        process = subprocess.Popen(
            words,
            cwd=str(ROOT),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that all of it can be ended together
            close_fds=False,  # so that it holds the lock of alone() as well
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def need(*command: object) -> None:
    """Run a command that the set-up cannot do without.

    Raises:
        SetupError: with the last lines that it printed.
    """
    if not run(*command):
        said = LOG.read_text(errors="replace").rpartition("\n$ ")[2].splitlines()[1:]
        last = [line.rstrip() for line in said if line.strip()][-6:]
        raise SetupError("\n    ".join([f"{Path(str(command[0])).name} failed; its whole output is in {LOG}", *last]))


def make_environment() -> "tuple[object, ...]":
    """Make .venv afresh and return the command that installs into it: uv from the PATH, else one that pip brings."""
    if OURS.exists():
        for path in VENV.iterdir():  # all but the mark, so that this can be interrupted as well
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(str(path))
            elif path != OURS:
                path.unlink()
    elif VENV.exists() and any(VENV.iterdir()):
        raise SetupError(f"{VENV} was not made by this set-up: move it away")
    gigabytes, free = 9 if gpu() else 3, shutil.disk_usage(str(ROOT)).free / 1e9
    if free < gigabytes:
        raise SetupError(f"{ROOT} has {free:.1f} GB free and the packages need {gigabytes}: make room")
    VENV.mkdir(exist_ok=True)
    OURS.touch()
    python, uv = VENV / "bin" / "python", shutil.which("uv")
    if uv:
        need(uv, "venv", "--allow-existing", "--python", PYTHON, VENV)
    elif not run(PYTHON, "-c", "import venv, ensurepip"):
        version = "{}.{}".format(*sys.version_info[:2])
        raise SetupError(
            f"{PYTHON} has no working venv module: install uv, or `apt install python3-venv` on Debian or Ubuntu "
            f"(python{version}-venv for this very Python)"
        )
    else:
        need(PYTHON, "-m", "venv", VENV)
        need(python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", pin_of("uv"))
    return (uv or VENV / "bin" / "uv", "pip", "install", "--python", python)


def install_torch(install: "tuple[object, ...]") -> None:
    """Install torch in the build that fits this machine.

    Without a GPU a Linux machine needs only the CPU build, a tenth of the size. It comes from where pip has been told
    to look, or from PyTorch's own index, where uv also finds the build for a GPU's driver. Where all that cannot be
    reached, and on every other system, the package index has a build.
    """
    pin = pin_of("torch")
    if sys.platform == "linux":
        if not gpu() and run(*install, f"{pin}+cpu", "-c", LOCK):
            return
        if run(*install, "--torch-backend=auto", pin, "-c", LOCK):
            return
    need(*install, pin, "-c", LOCK)


def install_quarto(install: "tuple[object, ...]") -> None:
    """Install Quarto, unless there is one; it comes from its own site, which not every machine reaches."""
    quarto = VENV / "bin" / "quarto"
    if shutil.which("quarto") or (run(*install, QUARTO, seconds=60) and run(quarto, "--version", seconds=30)):
        return
    run(install[0], "pip", "uninstall", *install[3:], "quarto-cli")
    with contextlib.suppress(FileNotFoundError):
        quarto.unlink()
    print(" (none could be installed: the built-in renderer will make the report)", end="", flush=True)


def step(name: str, take: "Callable[..., Any]", *given: object) -> "Any":
    """Take a step of the set-up, and print its name and how long it took."""
    begun = time.monotonic()
    print(f"  {name}", end="", flush=True)
    found = take(*given)
    print(f": {time.monotonic() - begun:.0f} s", flush=True)
    return found


def install_lock(install: "tuple[object, ...]") -> None:
    """Install what the lock says, and the two packages that are here for their data and not for their code.

    All of it is compiled now, as pip does: what cannot write its bytecode later would be compiled at every start.
    """
    need(*install, "--no-deps", "-r", WITHOUT_DEPENDENCIES)
    need(*install, "--compile-bytecode", "-r", LOCK)


def install_this(install: "tuple[object, ...]") -> None:
    """Install this package as a link to its source, with the lock's setuptools, so that nothing more is downloaded."""
    need(*install, "--no-deps", "--no-build-isolation", "--editable", ".")


def set_up() -> None:
    """Take every step, the stamp last."""
    begun = time.monotonic()
    tell_uv()
    print("Setting up .venv with Python {}.{}.{}:".format(*sys.version_info[:3]))
    install = step("virtual environment and uv", make_environment)
    step("PyTorch", install_torch, install)
    step("packages of the lock", install_lock, install)
    step("this package", install_this, install)
    step("Quarto", install_quarto, install)
    READY.write_text(fingerprint())
    print(f"Ready after {time.monotonic() - begun:.0f} s.", flush=True)


@contextlib.contextmanager
def alone() -> "Iterator[None]":
    """Keep other set-ups of this folder out, after waiting for them and for what a killed one still runs."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    os.set_inheritable(handle, True)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def supported_python() -> "str | None":
    """The path of a Python that the lock is tested on, if the PATH has one."""
    return next(filter(None, map(shutil.which, OTHERS)), None)


def interrupt(number: int, frame: object) -> None:
    """Treat a request to end as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Set up if need be; print one line where that fails, and return the exit status."""
    if ready():
        return 0
    other = None if OLDEST <= sys.version_info[:2] <= NEWEST else supported_python()
    if other:
        return subprocess.call([other, __file__])
    if sys.version_info < OLDEST:
        here, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
        mend = f"put Python {oldest} or later on the PATH, or name it as in `make report PYTHON=/path/to/python3`"
        print(f"Python {here} is too old: {mend}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        with alone():
            if not ready():
                set_up()
    except (SetupError, OSError) as error:
        print(f"\nSet-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up interrupted. The same command starts it afresh.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
