"""The object that the report's cells call: its methods print Markdown, its properties are values for a sentence.

Each cell of the page holds one or two lines. The pictures that they show are the files that the figures stage drew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from plateaus import figures
from plateaus.curves.sharpness import STRAIGHT_WIDTH, Rule
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.drawing import panels, wording
from plateaus.errors import InputError
from plateaus.figures import drawn, x02_tokens
from plateaus.judging import judged
from plateaus.page import claim_sections, dag, explorer, findings, narrative, opening, player
from plateaus.page import tables as page_tables
from plateaus.page.context import settings_of

VARIABLE = "PLATEAUS_REPORT"
"""Environment variable that holds the path of the JSON file that tells the cells what to show."""

DRAWN = Path("drawn")
"""Folder beside the page's source for the pictures that are embedded in the page."""

MOST_SHARDS = 4
"""If a table has more shards than this, its files are counted instead of listed."""


class Text(str):
    """Markdown that an inline expression inserts into a sentence without escaping."""

    def _repr_markdown_(self) -> str:
        return str(self)


class Page:
    """One run, as the report shows it.

    Attributes:
        context: What the report stage wrote: results, models, shards, settings, config, stages, cards, versions.
        results: The tables of the run.
        settings: The settings of the figures.
        models: Ids of the models, in the order of the config.
        drawn: Figure and model to what the figures stage drew, or to the reason why the figure is left out.
    """

    thresholds: ClassVar[dict[str, Text]] = {
        "straight": Text(STRAIGHT_WIDTH),
        "nearly_straight": Text(narrative.NEARLY_STRAIGHT),
        "small": Text(findings.SMALL_CHANGE),
        "steady": Text(narrative.STEADY),
        "on_the_whole": Text(narrative.ON_THE_WHOLE),
        "peak": Text(narrative.PEAK),
        "tokens": Text(x02_tokens.MOST),
    }

    def __init__(self, context: dict[str, Any]) -> None:
        self.context = context
        self.settings = settings_of(context["settings"])
        root, pairs = Path(context["results"]), self.settings.pairs
        self.results = judged.results_of(root, context["models"], context["shards"], pairs)
        self.models = self.results.models
        self.drawn = drawn.read(root)

    @classmethod
    def from_environment(cls) -> Page:
        """Load the page of the run that the variable `PLATEAUS_REPORT` names.

        Raises:
            InputError: The variable is not set, which means that the report stage is not what renders the page.
        """
        path = os.environ.get(VARIABLE)
        if not path:
            raise InputError(
                f"{VARIABLE} is not set: render the page with the report stage (snakemake, or make report)"
            )
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))

    # Figures

    def drawing(self, name: str, model: str) -> drawn.Drawn | figures.LeftOut:
        """Return a model's figure as the figures stage drew it, or the reason why it was left out."""
        return self.drawn[drawn.Task(name, model if figures.FIGURES[name].PER_MODEL else drawn.ALL)]

    def show(self, name: str) -> None:
        """Print a figure with its caption, its finding and links to its files, in one tab per model."""
        if not figures.FIGURES[name].PER_MODEL:
            print(self._figure(name, self.models[0]))
            return
        if len(self.models) == 1:
            print(self._figure(name, self.models[0]))
            return
        print('::: {.panel-tabset group="model"}\n')
        for model in self.models:
            print(f"## {wording.escape(model)}\n\n{self._figure(name, model)}")
        print(":::\n")

    def claims(self) -> None:
        """Print one section per claim: what the post says, the verdict on every model, and the values behind it."""
        found = judged.verdicts(self.results.root)
        print(f"{claim_sections.untested(found)}\n")
        for name in found.claims:
            print(claim_sections.text(name, found))
            drawing = self.drawn[drawn.Task(drawn.of_claim(name), drawn.ALL)]
            if isinstance(drawing, drawn.Drawn):
                label = "fig-" + claim_sections.address(name).removeprefix("sec-")
                print(self._float(drawing, label, found.of(name)[0].model, ""))

    def player(self) -> None:
        """Print the animation of the mechanism, in one tab per model that has one."""
        made = {model: player.html(self.results, model, self.settings) for model in self.models}
        pages = {model: f"```{{=html}}\n{html}\n```\n" for model, html in made.items() if html}
        if not pages:
            return
        if len(pages) == 1:
            print(next(iter(pages.values())))
        else:
            print('::: {.panel-tabset group="model"}\n')
            for model, html in pages.items():
                print(f"## {wording.escape(model)}\n\n{html}")
            print(":::\n")
        print(f"```{{=html}}\n{player.script()}\n```\n")

    def explorer(self) -> None:
        """Print the explorer of all curves; `map_explorer` prints its scripts."""
        print(f"```{{=html}}\n{explorer.html(self.results, self.settings)}```\n")

    def map_explorer(self) -> None:
        """Print the view of the maps, if the run has any, and the scripts of both explorers."""
        print(f"```{{=html}}\n{explorer.maps(self.results, self.settings)}{explorer.scripts()}```\n")

    def _figure(self, name: str, model: str) -> str:
        drawing = self.drawing(name, model)
        if isinstance(drawing, figures.LeftOut):
            whose = f" for `{model}`" if figures.FIGURES[name].PER_MODEL else ""
            return f"Not drawn{whose}: {wording.escape(drawing.reason)}.\n"
        finding = narrative.FINDINGS.get(name)
        said = f"**What this shows.** {finding(self.results, model, self.settings)}" if finding else ""
        return self._float(drawing, self.id(name, model), model, said)

    def _float(self, drawing: drawn.Drawn, label: str, model: str, said: str) -> str:
        """Return the Markdown of a figure with its caption, its finding (`said`) and links to its files."""
        (DRAWN / drawing.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.results.root / "figures" / drawing.file, DRAWN / drawing.file)
        shown = f"![{drawing.caption}]({address(DRAWN / drawing.file)}){{#{label} fig-alt={attribute(drawing.alt)}}}"
        files = f"::: {{.files}}\n{self._files(drawing, model)}\n:::"
        return "\n\n".join(part for part in (shown, said, files) if part) + "\n"

    def _files(self, drawing: drawn.Drawn, model: str) -> str:
        files = [(kind.upper(), Path("../figures", drawing.file.with_suffix(f".{kind}"))) for kind in ("svg", "png")]
        links = [f"[{kind}]({address(file)})" for kind, file in files]
        models = self.models if drawing.whole else (model,)
        of_run = [table for table in drawing.tables if table.stage == "claims"]
        sources = [self._table(table, "all", ["all"]) for table in of_run]
        sources += [
            self._table(table, name, self._parts(table, name, whole=drawing.whole))
            for name in models
            for table in drawing.tables
            if table not in of_run
        ]
        name = drawing.file.stem
        code = f"figures/{name if name in figures.NAMES else 'claim'}.py"
        return f"Figure: {', '.join(links)}. Drawn by `{code}` from {'; '.join(sources)}."

    def _parts(self, table: tables.Table, model: str, *, whole: bool) -> Sequence[str]:
        """List the shards of a table that a figure was drawn from: all of them, or those with the pairs it shows."""
        if not table.sharded:
            return ["all"]
        return self.results.shards if whole else self._shards(model)

    def _table(self, table: tables.Table, model: str, shards: Sequence[str]) -> str:
        """Return links to the given shards of a table, or their number if there are many."""
        if len(shards) > MOST_SHARDS:
            return f"`{table.name}` ({len(shards)} files in `data/{model}/{table.stage}`)"
        links = []
        for shard in shards:
            path = table_path(Path(".."), model, table, shard)
            links.append(f"[{wording.escape(path.name)}]({address(path)})")
        return f"`{table.name}` ({', '.join(links)})"

    def _shards(self, model: str) -> list[str]:
        """List the shards that hold the pairs of the figures."""
        shown = set(self.settings.pairs)
        found = []
        for shard in self.results.shards:
            path = table_path(self.results.root, model, tables.ENDPOINTS, shard)
            if shown & set(tables.read_frame(tables.ENDPOINTS, [path], ["pair"])["pair"]):
                found.append(shard)
        return found

    def id(self, name: str, model: str) -> str:
        """Return a figure's id for cross-references, in characters that HTML, CSS and citation keys all allow."""
        if not figures.FIGURES[name].PER_MODEL:
            return f"fig-{name}"
        plain = [re.sub(r"[^A-Za-z0-9]+", "-", known).strip("-") or "model" for known in self.models]
        place = self.models.index(model)
        # If two model ids differ only in characters that were replaced, the place in the list tells them apart.
        return f"fig-{name}-{plain[place]}" + (f"-{place}" if plain.count(plain[place]) > 1 else "")

    def ref(self, name: str) -> Text:
        """Return a cross-reference to a figure of the first model that has it."""
        for model in self.models:
            if isinstance(self.drawing(name, model), drawn.Drawn):
                return Text(f"@{self.id(name, model)}")
        return Text("the figure below (which this run could not draw)")

    # Numbers and words of sentences

    @property
    def trace_layer(self) -> int:
        """The interpolation layer of the figures that show a single one."""
        return self.settings.trace_layer

    @property
    def rule(self) -> Rule:
        """The rule by which a curve is called a plateau."""
        return self.settings.rule

    @property
    def steps(self) -> int:
        """The number of steps of a path."""
        return int(self.results.table(self.models[0], tables.INTERPOLATE)["step"].max()) + 1

    @property
    def pairs(self) -> Text:
        """The pairs that the figures show, with their contexts."""
        return Text(
            panels.shown_pairs([panels.words(self.results, pair) for pair in self.settings.pairs], self._nowhere)
        )

    @property
    def _nowhere(self) -> list[str]:
        return [""] * len(self.settings.pairs)

    @property
    def model_list(self) -> Text:
        """The models and their numbers of layers."""
        counts = [(model, panels.n_layers(self.results, model)) for model in self.models]
        return Text(wording.listed(f"`{model}` ({wording.plural(count, 'layer')})" for model, count in counts))

    @property
    def overview(self) -> Text:
        """The summary table in one or two sentences."""
        return Text(narrative.overview(self.results, self.settings))

    @cached_property
    def endpoint_error(self) -> Text:
        """The largest difference in logits between the ends of a path and the unpatched prompts, over the whole run."""
        errors = [self.results.table(model, tables.ENDPOINT_CHECK)["logit_error"].max() for model in self.models]
        return Text(wording.power(float(max(errors))))

    @property
    def path(self) -> Text:
        """The kind of path that this run used: spherical or linear."""
        return Text(self.context["config"]["interpolate"]["path"])

    @property
    def bos(self) -> Text:
        """What comes before every prompt, by model."""
        found = self.context["bos"]
        groups = {token: [f"`{model}`" for model in found if found[model] == token] for token in found.values()}
        parts = [
            f"{'nothing' if token == 'none' else f'the token `{token}`'} for {wording.listed(models)}"
            for token, models in groups.items()
        ]
        return Text(wording.listed(parts))

    @property
    def centred(self) -> Text:
        """The models from whose residual stream the mean over d_model is removed."""
        found = [f"`{name}`" for name, model in self.context["config"]["models"].items() if model.get("centre")]
        return Text(f"for {wording.listed(found)}" if found else "for none of the models")

    @property
    def version(self) -> Text:
        """The version of this package."""
        return Text(self.context["versions"].get("plateaus", "unknown"))

    # Tables

    def summary(self) -> None:
        """Print the table of the sharpness at the logits, per model and pair."""
        print(page_tables.summary(self.results, self.settings))

    def verdicts(self) -> None:
        """Print the table of the claims."""
        claims = judged.verdicts(self.results.root).claims
        if claims:
            print(page_tables.claims(self.results, {name: f"#{claim_sections.address(name)}" for name in claims}))

    @property
    def answer(self) -> Text:
        """The answer of the first screen, in two or three sentences."""
        return Text(opening.answer(self.results, self.settings))

    def strip(self) -> None:
        """Print one mark per claim, each of which leads to the claim's section."""
        marks = opening.strip(self.results, claim_sections.address)
        if marks:
            print(f"```{{=html}}\n{marks}```\n")

    def robustness(self) -> None:
        """Print the table of strengths under choices that should not matter, if the run measured them."""
        if self.settings.robust:
            print(page_tables.robust(self.results, self.settings.robust))

    def agreement(self) -> None:
        """Print one sentence per claim on how far the trained models agree, if the run has several."""
        found = judged.verdicts(self.results.root).agreement
        if found:
            print("**Across models.** How far the trained models of this run agree:\n")
            print("\n".join(f"- {one['sentence']}" for one in found.values()) + "\n")

    @property
    def claims_alpha(self) -> Text:
        """The significance level of the tests."""
        return Text(f"{self.context['config']['claims']['alpha']:g}")

    @property
    def claims_overview(self) -> Text:
        """The claims by verdict, in words."""
        return Text(narrative.claims(self.results))

    def endpoints(self) -> None:
        """Print the table of how the two prompts of each pair differ."""
        print(page_tables.endpoints(self.results, self.settings))

    def cards(self) -> None:
        """Print the model cards side by side, with what comes before every prompt in this run."""
        told, bos = self.context["cards"], self.context["bos"]
        print(page_tables.cards({model: {**card, "bos": bos[model]} for model, card in told.items()}))

    def selfcheck(self) -> None:
        """Print how far the formulas of this run are from what each model itself computes."""
        print(page_tables.selfcheck(self.results))

    @property
    def checked(self) -> Text:
        """The largest error of the self-check, in a sentence."""
        return Text(narrative.selfcheck(self.results))

    def storage(self) -> None:
        """Print what storing weights in bfloat16 changes, for models whose float32 twin is in the config."""
        found = page_tables.twins(self.context["config"]["models"])
        both = {model: twin for model, twin in found.items() if twin is not None}
        if both:
            print(page_tables.storage(self.results, both))
        alone = [f"`{model}`" for model, twin in found.items() if twin is None]
        if alone:
            print(
                f"The weights of {wording.listed(alone)} are stored in bfloat16. How much this changes cannot be said "
                "here, because the configuration does not have the same model with `storage: float32`.\n"
            )

    def versions(self) -> None:
        """Print the table of software versions."""
        print(page_tables.versions({**self.context.get("environment", {}), **self.context["versions"]}))

    def stages(self) -> None:
        """Print the table of the time and memory of each stage."""
        print(page_tables.stages(self.context["stages"]))

    def config(self) -> None:
        """Print the resolved config as YAML, folded."""
        import yaml

        text = yaml.safe_dump(self.context["config"], sort_keys=False, allow_unicode=True)
        summary = f"The configuration ({len(text.splitlines())} lines)"
        print(f"<details class='folded'><summary>{summary}</summary>\n\n```yaml\n{text}```\n\n</details>\n")

    def workflow(self) -> None:
        """Print the picture of the stages."""
        from plateaus.config.stages import follows

        if not self.context.get("dag"):
            print("This run did not draw the picture of the stages.\n")
            return
        DRAWN.mkdir(exist_ok=True)
        shutil.copyfile(self.context["dag"], DRAWN / "dag.svg")
        caption = (
            "The stages of the workflow, from top to bottom. An arrow leads from a stage to a stage that takes its "
            "outputs; the arrow is left out if a longer path of arrows already leads there."
        )
        look = f"{{#fig-workflow .natural fig-alt={attribute(dag.alt(follows(self.context['config'])))}}}"
        print(f"![{caption}]({address(DRAWN / 'dag.svg')}){look}\n")


def address(path: Path) -> str:
    """Encode a path as the address of a link."""
    return quote(path.as_posix())


def attribute(text: str) -> str:
    """Quote text as the value of an attribute in Markdown."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
