"""The page of a comparison: what its cells print, and how it is rendered from the report's Quarto project."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from plateaus.compare import drawing, runs
from plateaus.compare.drawing import Drawn
from plateaus.drawing import style, suite, wording
from plateaus.judging import words
from plateaus.judging.judged import Judged
from plateaus.page.notebook import Text
from plateaus.page.tables import markdown_table

VARIABLES = ("PLATEAUS_COMPARE_A", "PLATEAUS_COMPARE_B")
"""Environment variables that hold the folders of the two runs."""
COPIED = ("_quarto.yml", "styles.css", "references.bib")
MOST_PAIRS = 16
"""The page lists this many pairs per model; the file beside it has all of them."""


class Page:
    """What the cells of `report/compare.qmd` ask for."""

    def __init__(self, a: Path, b: Path) -> None:
        self.a, self.b = runs.both(a, b)
        self.models = runs.common_models(self.a, self.b)

    @classmethod
    def from_environment(cls) -> Page:
        """Open the two runs that the variables name."""
        return cls(*(Path(os.environ[name]) for name in VARIABLES))

    @property
    def answer(self) -> Text:
        """The comparison in a few sentences."""
        found = [one for one in runs.verdicts(self.a, self.b) if one.model in self.models]
        differ = [one for one in found if one.words[0] != one.words[1]]
        said = [f"The verdicts are the same for {len(found) - len(differ)} of {len(found)} claims and models."]
        for model in self.models:
            rows = runs.strengths(self.a, self.b, model)
            one = rows[rows["site"] == suite.YARDSTICKS[0].site]
            if len(one):
                middle = runs.median(one)
                said.append(
                    f"On `{model}` the strength at the logits changes by {wording.number(middle.difference, 3)} from A "
                    f"to B in the median of {wording.plural(middle.pairs, 'pair')} (95 % interval "
                    f"{wording.number(middle.low, 3)} to {wording.number(middle.high, 3)})."
                )
        return Text(" ".join(said))

    def settings(self) -> None:
        """Print the table of what the two runs set differently."""
        found = runs.settings_that_differ(self.a, self.b)
        if not found:
            print("Both runs have the same settings.\n")
            return
        cells = [[f"`{one.key}`", _code(one.a), _code(one.b)] for one in found]
        caption = "Keys of the config that the two runs set differently. {#tbl-settings}"
        print(markdown_table(["Key", "A", "B"], cells, caption, widths=(30, 35, 35)))

    def verdicts(self) -> None:
        """Print the table of verdicts of both runs."""
        cells = []
        for one in runs.verdicts(self.a, self.b):
            estimates = [_estimate(side) for side in (one.a, one.b)]
            title = next(str(side.entry["title"]) for side in (one.a, one.b) if side is not None)
            marks = [f"{words.SYMBOLS[word]} {word}" if word in words.SYMBOLS else word for word in one.words]
            changed = "**changed**" if one.words[0] != one.words[1] else ""
            cells.append([f"{one.claim}: {wording.escape(title)}", *marks, changed, *estimates, f"`{one.model}`"])
        head = ["Claim", "A", "B", "", "Estimate in A", "in B", "Model"]
        caption = "Verdicts and estimates of both runs, for claims that at least one of them tested. {#tbl-verdicts}"
        print(markdown_table(head, cells, caption, align="llllrrl"))

    def figures(self) -> None:
        """Print the figures of every common model."""
        for model in self.models:
            plain = re.sub(r"[^A-Za-z0-9]+", "-", model)
            for kind in ("effects", "strengths", "curves"):
                with style.applied():
                    drawn: Drawn | None = getattr(drawing, kind)(self.a, self.b, model)
                if drawn is not None:
                    name = f"{kind}-{plain}"
                    drawing.save(drawn, Path(), name)
                    print(f'![{drawn.caption}]({name}.svg){{#fig-{name} fig-alt="{_plain(drawn.alt)}"}}\n')

    def pairs(self) -> None:
        """Print the table of the pairs whose strength differs most, and of the medians by kind."""
        for model in self.models:
            rows = runs.strengths(self.a, self.b, model)
            if rows.empty:
                continue
            plain = re.sub(r"[^A-Za-z0-9]+", "-", model)
            cells = []
            for (site, kind), some in rows.groupby(["site", "kind"], sort=True):
                one = runs.median(some)
                interval = f"{wording.number(one.low, 3)} to {wording.number(one.high, 3)}"
                cells.append(
                    [_yardstick(str(site)), str(kind), str(one.pairs), wording.number(one.difference, 3), interval]
                )
            head = ["Yardstick", "Pairs", "Number", "Median of B − A", "95 % interval"]
            caption = f"Differences of strength on `{model}`, by kind of pair. {{#tbl-medians-{plain}}}"
            print(markdown_table(head, cells, caption, align="llrrr"))
            cells = [
                [
                    f"`{row.pair}`", str(row.kind), _yardstick(str(row.site)),
                    *(wording.number(float(value), 3) for value in (row.a, row.b, row.difference)),  # type: ignore[arg-type]
                ]
                for row in rows.head(MOST_PAIRS).itertuples()
            ]  # fmt: skip
            head = ["Pair", "Kind", "Yardstick", "Strength in A", "Strength in B", "B − A"]
            caption = f"The largest differences of strength on `{model}`. {{#tbl-pairs-{plain}}}"
            print(markdown_table(head, cells, caption, align="lllrrr"))


def _yardstick(site: str) -> str:
    return next(one.name for one in suite.YARDSTICKS if one.site == site)


def _estimate(side: Judged | None) -> str:
    if side is None or side.entry.get("estimate") is None:
        return runs.ABSENT
    return wording.number(float(side.entry["estimate"]), 3)


def _code(text: str) -> str:
    return text if text == runs.ABSENT else f"`{wording.shortened(text.replace('`', ''), 200)}`".replace("|", "\\|")


def _plain(text: str) -> str:
    return text.replace("\\", "").replace('"', "”")


def write(a: Path, b: Path, folder: Path, source: Path) -> tuple[Path, Path]:
    """Write the page of a comparison and a table of all pairs.

    Args:
        a: Folder of the first run.
        b: Folder of the second run.
        folder: Folder for the page and the table.
        source: The report's Quarto project.

    Returns:
        The page and the table.

    Raises:
        InputError: see `runs.both`.
    """
    import pandas as pd

    from plateaus import render as rendering

    both = runs.both(a, b)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [runs.strengths(*both, model).assign(model=model) for model in runs.common_models(*both)]
    table = folder / "strengths.tsv"
    pd.concat(parts).to_csv(table, sep="\t", index=False, float_format="%.6g")
    with tempfile.TemporaryDirectory(prefix="plateaus-compare-") as temporary:
        project = Path(temporary)
        for name in COPIED:
            shutil.copyfile(source / name, project / name)
        shutil.copyfile(source / "compare.qmd", project / "index.qmd")
        environment = dict(zip(VARIABLES, (str(a.resolve()), str(b.resolve())), strict=True))
        title = f"{both[0].name} against {both[1].name}"
        rendering.render(project, folder / "index.html", env=environment, metadata={"title": title})
    return folder / "index.html", table
