"""Faults that a run must survive: python -m tests.faults [kills] [disks] [--kills 30] [--seed 0] [--work FOLDER].

It is no part of `make test`, because it takes about half an hour, and because full and read-only disks need root.
`make faults` runs it, and then the fuzz tests with thousands of examples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults import common, disks, kills


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("parts", nargs="*", help="kills, disks; both if none is named")
    parser.add_argument("--kills", type=int, default=30, help="how many times to kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only the other faults whose name contains this")
    parser.add_argument("--work", type=Path, help="folder to work in, kept; a temporary one if left out")
    given = parser.parse_args()
    parts = given.parts or ["kills", "disks"]
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        undisturbed = common.undisturbed(work)
        well = True
        if "kills" in parts:
            well &= kills.check(undisturbed, work, given.kills, given.seed)
        if "disks" in parts:
            well &= disks.check(undisturbed, work, given.only)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
