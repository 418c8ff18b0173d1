"""`python -m plateaus.compare RUN_A RUN_B`: two finished runs side by side on one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plateaus.errors import InputError

SOURCE = Path("report")
FOLDER = Path("results/compare")


def main(arguments: list[str] | None = None) -> None:
    """Write the page; on bad input exit with status 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.compare", description=__doc__)
    parser.add_argument("a", type=Path, help="results folder of the first run, such as results/default")
    parser.add_argument("b", type=Path, help="results folder of the second run")
    parser.add_argument("--out", type=Path, help=f"folder for the page (default: {FOLDER}/A-B)")
    given = parser.parse_args(arguments)
    folder = given.out or FOLDER / f"{given.a.resolve().name}-{given.b.resolve().name}"
    try:
        from plateaus.compare import page

        for path in page.write(given.a, given.b, folder, SOURCE):
            print(path)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
