"""`python -m plateaus.archive RUN`: one zip file with a finished run and the workflow that made it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plateaus.errors import InputError

FOLDER = Path("results/archive")


def main(arguments: list[str] | None = None) -> None:
    """Write the archive; on bad input exit with status 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.archive", description=__doc__)
    parser.add_argument("run", type=Path, help="results folder of the run, such as results/default")
    parser.add_argument(
        "--out", type=Path, help=f"the zip file (default: {FOLDER}/activation-plateaus-VERSION-RUN.zip)"
    )
    parser.add_argument("--vectors", action="store_true", help="keep the tables of activations, which are large")
    parser.add_argument(
        "--other-code", action="store_true",
        help="pack a run whose tables were made by other code than that in this folder; the archive then says so",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        from plateaus.archive import contents, crate, packing

        packed = contents.of_run(given.run, vectors=given.vectors, other_code=given.other_code)
        path = given.out or FOLDER / f"activation-plateaus-{crate.citation()['version']}-{given.run.resolve().name}.zip"
        packing.write(path, packed.entries)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(
            f"error: {error.filename or given.out or FOLDER}: {error.strerror or error}: make room or check permissions"
        )
    print(f"{path}: {len(packed.entries)} files, {path.stat().st_size / 1e6:.1f} MB")
    if packed.left_out:
        size = sum(entry.size for entry in packed.left_out) / 1e6
        print(f"left out: {len(packed.left_out)} tables of vectors, {size:.1f} MB (VECTORS=1 keeps them)")


if __name__ == "__main__":
    main()
