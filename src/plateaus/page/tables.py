"""The tables of the report's page, as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plateaus.curves.sharpness import is_plateau
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.data.schemas import QUANTITIES
from plateaus.drawing import panels, robustness, wording
from plateaus.drawing.contract import Settings
from plateaus.judging import judged, words
from plateaus.page import narrative


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, align: str = "", widths: Sequence[int] = ()
) -> str:
    """Format a pipe table that can scroll sideways on a narrow screen.

    Args:
        head: The column names.
        rows: The cells, in Markdown; bars in their text must be escaped already, as `wording.escape` does.
        caption: The caption in Markdown, with the id of the table.
        align: ``l`` or ``r`` for each column; columns beyond its end are aligned left.
        widths: Relative widths of the columns, for a table as wide as the text, whose cells wrap. Replaces `align`.
    """
    rules = ["--:" if side == "r" else ":--" for side in align.ljust(len(head), "l")]
    if widths:
        rules = [":" + "-" * width for width in widths]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, rules, *rows)]
    look = ".broken" if widths else ".wide .numbers" if "r" in align else ".wide"
    return "\n".join([f"::: {{{look}}}\n", *lines, f"\n: {caption}\n", ":::\n"])


def summary(results: Results, settings: Settings) -> str:
    """Make the table of the sharpness at the logits, with one row per model and pair."""
    head = ["Model", "Pair", "w", "Midpoint", "Rest near A", "Rest near B", "Departure", "Plateau rule"]
    rows = []
    for row in narrative.summary(results, settings):
        found = row.sharpness
        measures = (found.w, found.midpoint, found.rest_a, found.rest_b, found.departure)
        met = "met" if is_plateau(found, settings.rule) else "not met"
        rows.append([f"`{row.model}`", row.pair.markdown, *(wording.number(value, 3) for value in measures), met])
    caption = f"Sharpness of the curves of the logits, interpolating at layer {settings.trace_layer}. {{#tbl-summary}}"
    return markdown_table(head, rows, caption, align="llrrrrrl")


def claims(results: Results, links: Mapping[str, str]) -> str:
    """Make the table of verdicts, with one row per claim and model that the claim was tested on.

    A claim that was tested on no model has one row, which gives the reason.

    Args:
        results: The results of the run.
        links: Claim id to the address of its section.
    """
    head = ["", "The post says", "Verdict", "Estimate (interval)", "n", "Model"]
    rows = []
    found = judged.verdicts(results.root)
    for claim in found.claims:
        of_claim = found.of(claim)
        title = f"[{wording.escape(str(of_claim[0].entry['title']))}]({links[claim]})"
        tested = [one for one in of_claim if one.tested]
        for number, one in enumerate(tested):
            low, high = one.entry["interval"]
            cells = [f"{words.SYMBOLS[one.verdict]} {one.verdict}"]
            cells += [f"{_number(one.entry['estimate'])} ({_number(low)} to {_number(high)})", str(one.entry["n"])]
            rows.append([claim if number == 0 else "", title if number == 0 else "", *cells, f"`{one.model}`"])
        if not tested:
            reason = wording.escape(wording.shortened(str(of_claim[0].entry["reason"]), 90))
            verdict = f"{words.SYMBOLS[words.NOT_TESTED]} {words.NOT_TESTED}"
            rows.append([claim, title, f"{verdict}: {reason}", "", "", ""])
    caption = (
        "The post's claims, with the verdict for each of these models. @sec-claims gives the measure behind each "
        "estimate and the rule for the verdicts. {#tbl-claims}"
    )
    return markdown_table(head, rows, caption, widths=(4, 34, 16, 22, 5, 19))


def _number(value: float | None) -> str:
    return "–" if value is None else wording.number(value)


def robust(results: Results, models: Sequence[str]) -> str:
    """Make the table of strengths under choices that should not matter, with one row per model and variant.

    Args:
        results: The results of the run.
        models: The models that have a table `robustness`.
    """
    head = ["Model", "Variant", "Pairs"]
    for name in robustness.YARDSTICKS.values():
        head += [f"Median s, {name} (95 % interval)", "Median change of s"]
    rows = []
    for model in models:
        for row in robustness.summary(results, model):
            cells = [f"`{model}`", row.variant, str(row.pairs)]
            for found in row.medians.values():
                low, high = wording.number(found.low), wording.number(found.high)
                cells += [f"{wording.number(found.strength)} ({low} to {high})", wording.number(found.change, 3)]
            rows.append(cells)
    caption = (
        "Strengths with one choice changed at a time. The change of a pair is the absolute difference to its own "
        "strength as in the run. {#tbl-robustness}"
    )
    return markdown_table(head, rows, caption, align="llrrrrr")


def endpoints(results: Results, settings: Settings) -> str:
    """Make the table of how the two prompts of each pair differ, per model."""
    head = ["Model", "Pair", "Angle", "Length ratio", "JSD", "log p of a", "log p of b"]
    rows = []
    for model in results.models:
        frame = results.table(model, tables.ENDPOINTS)
        frame = frame.assign(pair=frame["pair"].astype(str)).set_index("pair")
        for pair in settings.pairs:
            row: dict[Any, Any] = frame.loc[pair].to_dict()
            cells = [
                f"{math.degrees(row['angle']):.0f}°",
                wording.number(row["norm_ratio"]),
                wording.number(row["jsd"], 3),
            ]
            for name in ("log_p_a", "log_p_b"):
                cells.append("–" if math.isnan(row[name]) else wording.number(row[name]))
            rows.append([f"`{model}`", panels.words(results, pair).markdown, *cells])
    return markdown_table(head, rows, "How the two prompts of each pair differ. {#tbl-endpoints}", align="llrrrrr")


def cards(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Make the table of the model cards, side by side and without the hashes of single files."""
    names = dict.fromkeys(["name", *(name for card in found.values() for name in card if name != "files")])
    rows = [[f"`{name}`", *(described(card.get(name)) for card in found.values())] for name in names]
    return markdown_table(["", *(f"`{model}`" for model in found)], rows, "The models. {#tbl-models}")


def selfcheck(results: Results) -> str:
    """Make the table of the self-check, with the largest error of each quantity over all blocks, per model."""
    frames = {model: results.table(model, tables.SELFCHECK) for model in results.models}
    rows = []
    for quantity, name in QUANTITIES.items():
        cells = []
        for frame in frames.values():
            found = frame[frame["quantity"] == quantity]["error"]
            cells.append("–" if found.empty else wording.power(float(found.max())))
        rows.append([name, *cells])
    caption = (
        "The largest relative error of what the stages use of each model, over all blocks after the first, against the "
        "model itself. Of spline codes, it is the share of units on the wrong side. {#tbl-selfcheck}"
    )
    head = ["Quantity", *(f"`{model}`" for model in frames)]
    return markdown_table(head, rows, caption, align="l" + "r" * len(frames))


def twins(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Find the float32 twin of each model that stores its weights in bfloat16.

    Args:
        models: The section `models` of the config, with all defaults filled in.

    Returns:
        Model to the model that differs from it only in `storage`, or to None if the config has no such model.
    """
    return {
        name: next((other for other, told in models.items() if told == {**model, "storage": "float32"}), None)
        for name, model in models.items()
        if model.get("storage") == "bfloat16"
    }


def storage(results: Results, found: Mapping[str, str]) -> str:
    """Make the table of what rounding the weights to bfloat16 changes: the largest differences between twins.

    Args:
        results: The results of the run.
        found: Model to its twin in float32.
    """
    head = ["Model", "Beside", "d at the logits", "d at any layer", "w at the logits", "MLP Jacobian norm"]
    rows = []
    for model, twin in found.items():
        curves = _differences(results, (model, twin), tables.INTERPOLATE, "distance")
        sharp = _differences(results, (model, twin), tables.SHARPNESS, "w")
        norms = _differences(results, (model, twin), tables.JACOBIAN, "frobenius", relative=True)
        largest = (
            curves[curves.index.get_level_values("site") == "logits"].max(),
            curves.max(),
            sharp[sharp.index.get_level_values("site") == "logits"].max(),
        )
        of_mlp = norms[norms.index.get_level_values("component") == "mlp"].max()
        cells = [*(wording.number(value, 4) for value in largest), f"{100 * of_mlp:.1f} %"]
        rows.append([f"`{model}`", f"`{twin}`", *cells])
    caption = (
        "The largest changes from rounding the weights to bfloat16: in the relative distances d and the Jacobian norms "
        "of the pairs shown, and in w of all pairs under all conditions. {#tbl-storage}"
    )
    return markdown_table(head, rows, caption, align="llrrrr")


def _differences(
    results: Results, models: tuple[str, str], table: tables.Table, column: str, *, relative: bool = False
) -> Any:
    """Return the absolute differences of a column between two models, indexed by the key of the table.

    With `relative`, the differences are divided by the absolute values of the second model.
    """
    first, second = (
        frame.assign(**{name: frame[name].astype(str) for name in table.key if frame[name].dtype == "category"})
        .set_index(list(table.key))[column]
        .dropna()
        for frame in (results.table(model, table) for model in models)
    )
    difference = (first - second).abs()
    return difference / second.abs() if relative else difference


def versions(found: Mapping[str, str]) -> str:
    """Make the table of the versions of the software."""
    rows = [[wording.escape(name), f"`{version}`"] for name, version in found.items()]
    caption = "The software that made the tables and this page. {#tbl-versions}"
    return markdown_table(["Software", "Version"], rows, caption)


def stages(records: Sequence[Mapping[str, Any]]) -> str:
    """Make the table of each stage and model: seconds summed over its jobs, and the largest peak memory of a job."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["stage"], record["model"]), []).append(record)
    rows = []
    for (stage, model), jobs in groups.items():
        seconds, cpu = (sum(float(job[name]) for job in jobs) for name in ("seconds", "cpu_seconds"))
        peak = max(float(job["peak_memory_gb"]) for job in jobs)
        name = "all" if model == "all" else f"`{model}`"
        rows.append([stage, name, str(len(jobs)), f"{seconds:.1f}", f"{cpu:.1f}", f"{peak:.2f}"])
    machines = wording.listed(dict.fromkeys(wording.escape(str(record["machine"])) for record in records))
    caption = (
        f"Time and memory of the jobs behind this page, without the rendering of the page. Machine: {machines}. "
        "{#tbl-stages}"
    )
    return markdown_table(
        ["Stage", "Model", "Jobs", "Seconds", "CPU seconds", "Peak GB"], rows, caption, align="llrrrr"
    )


def described(value: Any) -> str:
    """Format a value of a model card as the text of a table's cell; a hash is cut to its beginning."""
    if isinstance(value, Mapping):
        return ", ".join(f"{wording.escape(str(key))}: {described(inner)}" for key, inner in value.items())
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40,}", value):
        return f"`{value[:16]}…`"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else wording.escape(str(value))
