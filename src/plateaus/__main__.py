"""`python -m plateaus try CONTEXT A B`: a first curve, without the workflow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plateaus.errors import InputError
from plateaus.sources import embedded

FOLDER = Path("results/try")


def main(arguments: list[str] | None = None) -> None:
    """Run the command; on bad input exit with status 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m plateaus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("try", help="interpolate between two prompts and show how the output moves")
    first.add_argument("context", help='the text that both prompts begin with, such as "The house was"')
    first.add_argument("a", help="last word of prompt A, one token")
    first.add_argument("b", help="last word of prompt B, one token")
    first.add_argument("--model", default=embedded.DEFAULT, help="an embedded model or the path of a model folder")
    first.add_argument("--layer", type=int, default=0, help="the interpolation layer (default: 0)")
    first.add_argument("--steps", type=int, default=50, help="number of points on the path (default: 50)")
    first.add_argument("--out", type=Path, default=FOLDER, help=f"folder for picture and page (default: {FOLDER})")
    given = parser.parse_args(arguments)
    try:
        run(given)
    except InputError as error:
        sys.exit(f"error: {error}")


def run(given: argparse.Namespace) -> None:
    """Measure, print and save the curve of one pair."""
    from plateaus import api, first_curve

    if given.model not in embedded.MODELS and not Path(given.model).is_dir():
        known = " or ".join(embedded.MODELS)
        raise InputError(
            f"--model is {given.model}, which is not a folder: give {known}, or the path of a model folder"
        )
    name = given.model if given.model in embedded.MODELS else Path(given.model).name
    model = api.load_model(given.model)
    found = first_curve.measure(model, name, given.context, given.a, given.b, layer=given.layer, steps=given.steps)
    print(first_curve.text(found))
    picture, page = first_curve.save(found, given.out)
    print(f"  {picture}\n  {page}")


if __name__ == "__main__":
    main()
