"""The page of the bench: what its cells print, and how it is rendered from the report's Quarto project."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from plateaus.bench import drawing, summary

VARIABLE = "PLATEAUS_BENCH"
COPIED = ("_quarto.yml", "styles.css", "references.bib")


class Page:
    """The values and tables that the cells of `report/bench.qmd` ask for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: dict[str, Any] = json.loads((folder / "bench.json").read_text(encoding="utf-8"))

    @classmethod
    def from_environment(cls) -> Page:
        """Open the measurements in the folder that the variable `PLATEAUS_BENCH` names."""
        return cls(Path(os.environ[VARIABLE]))

    @property
    def all_stages(self) -> summary.Row:
        """The row for all stages together."""
        return summary.rows(self.told)[-1]

    def ratio(self, quantity: str) -> str:
        """Return the usual way's value of a quantity divided by ours, for all stages together."""
        value = summary.ratio(getattr(self.all_stages, quantity))
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"

    @property
    def working(self) -> str:
        """Return the usual way's time without start-up divided by ours, for all stages together."""
        return f"{summary.ratio(self.all_stages.working):.0f}"

    @property
    def memory(self) -> str:
        """Peak memory of the largest process, ours against the usual way's."""
        usual, ours = self.all_stages.memory
        return f"{ours / 1e9:.2f} GB against {usual / 1e9:.2f} GB"

    def stages(self) -> None:
        """Print the tables that compare time, memory and disk."""
        from plateaus.page.tables import markdown_table

        head, cells = summary.table_of_time(self.told)
        caption = f"Time of each stage, the usual way and ours: {summary.where(self.told)}. {{#tbl-time}}"
        print(markdown_table(head, cells, caption, align="lrrrrrrr"))
        head, cells = summary.table_of_room(self.told)
        caption = "Peak memory of each stage's process, and the size of all files that it wrote. {#tbl-room}"
        print(markdown_table(head, cells, caption, align="lrrrr"))

    def shares(self) -> None:
        """Print what share of the machine's speed the sweep reaches."""
        from plateaus.page.tables import markdown_table

        cells = [
            [one["shape"], summary.seconds(one["seconds"]), f"{one['gflops']:.0f}", f"{100 * one['share']:.0f} %"]
            for one in self.told["sweeps"]["shares"]
        ]
        caption = (
            f"The sweep of one pair with every layer as an interpolation layer; the share is of the "
            f"{self.told['gflops']:.0f} GFLOP/s of large matrix products, measured just before. {{#tbl-shares}}"
        )
        print(markdown_table(["Blocks of", "Seconds", "GFLOP/s", "Share"], cells, caption, align="lrrr"))

    @property
    def marginal(self) -> str:
        """Time of one more pair divided by the time of its matrix products."""
        return f"{self.told['sweeps']['marginal']:.2f}"

    @property
    def tolerance(self) -> str:
        """The allowed error of a linear combination of nodes, as a share of a matrix's norm."""
        from plateaus.mechanism.nodes import TOLERANCE

        return f"{TOLERANCE:g}"

    def agreement(self) -> None:
        """Print the largest differences between the two ways."""
        from plateaus.page.tables import markdown_table

        cells = [[kind, f"{value:.1e}"] for kind, value in self.told["differences"].items()]
        print(
            markdown_table(
                ["Number", "Largest difference"],
                cells,
                "Largest differences between the two ways. {#tbl-agreement}",
                align="lr",
            )
        )

    def figure(self, name: str, caption: str) -> None:
        """Copy one of the figures beside the page and print its Markdown."""
        shutil.copyfile(self.folder / f"{name}.svg", f"{name}.svg")
        print(f'![{caption}]({name}.svg){{#fig-{name} fig-alt="{caption}"}}\n')


def render(source: Path, folder: Path) -> str:
    """Render `bench.qmd` of the report's project to `index.html` in the bench's folder; return the renderer's name."""
    from plateaus import render as rendering

    with tempfile.TemporaryDirectory(prefix="plateaus-bench-") as temporary:
        project = Path(temporary)
        for name in COPIED:
            shutil.copyfile(source / name, project / name)
        shutil.copyfile(source / "bench.qmd", project / "index.qmd")
        return rendering.render(project, folder / "index.html", env={VARIABLE: str(folder.resolve())})


def markdown(told: dict[str, Any]) -> str:
    """Format the comparison as Markdown, for a README."""
    parts = [summary.where(told)]
    for head, cells in (summary.table_of_time(told), summary.table_of_room(told)):
        lines = [head, ["---", *("--:" for _ in head[1:])], *cells]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def write(folder: Path, source: Path) -> str:
    """Write the figures, the Markdown tables and the page from `bench.json`; return the renderer's name."""
    told = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    drawing.save(told, folder)
    (folder / "bench.md").write_text(markdown(told), encoding="utf-8")
    return render(source, folder)
