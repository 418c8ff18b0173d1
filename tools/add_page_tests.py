"""Install the packages of the browser tests into .venv, if they are not there; `make test-page` calls it.

They are no part of the set-up, because the driver of a browser is large and only these tests need it.
"""

import sys

import add_weights
import setup_env

LOCK = "requirements-page.lock"


def main() -> int:
    """Install the packages; print one line where that fails, and return the exit status."""
    try:
        with setup_env.alone():
            setup_env.step("packages of the browser tests", add_weights.add, LOCK)
    except (setup_env.SetupError, OSError) as error:
        print(f"\nThe browser tests cannot run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
