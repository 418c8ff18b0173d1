"""sharpness: measure how sharp every curve of `interpolate` and `freeze` is, without loading a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from plateaus.curves import sharpness as measures
from plateaus.curves.sharpness import Floats, Rule
from plateaus.data import tables
from plateaus.data.canonical import digest
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.run.code_inputs import code_digest
from plateaus.stages.job import Job
from plateaus.stages.runner import run

Columns = dict[str, np.ndarray]

KEY = ("pair", "condition", "interp_layer", "site", "record_layer")


class Curves(NamedTuple):
    """The curves of a table.

    Attributes:
        key: The columns of `KEY`, with one value per curve; columns of words hold indices into `words`.
        words: For each column of words, the words that its indices stand for.
        alpha: Interpolation parameter, shape (steps,).
        distance: Relative distance, shape (curves, steps).
        detour: Largest detour of each curve, shape (curves,).
    """

    key: Columns
    words: Columns
    alpha: Floats
    distance: Floats
    detour: Floats


def read_curves(data: pa.Table) -> Curves:
    """Split a table of curves, sorted by key, into its curves.

    Args:
        data: Rows of `interpolate` or `freeze`. If there is no column `condition`, the condition of every curve is
            `none`.

    Raises:
        ValueError: the curves do not all have the same steps at the same alphas.
    """
    if "condition" not in data.column_names:
        data = data.append_column("condition", _same("none", data.num_rows))
    steps = int(pc.max(data["step"]).as_py()) + 1
    if data.num_rows % steps or not np.array_equal(
        data["step"].to_numpy(), np.tile(np.arange(steps), data.num_rows // steps)
    ):
        raise ValueError(f"not every curve has the {steps} steps of the longest one")
    alpha = data["alpha"].to_numpy().astype(np.float64).reshape(-1, steps)
    if (alpha != alpha[0]).any():
        raise ValueError("not every curve has its steps at the same alpha")
    first = data.select(list(KEY)).take(pa.array(np.arange(0, data.num_rows, steps)))
    key, words = {}, {}
    for name in KEY:
        column = first[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            words[name] = column.dictionary.to_numpy(zero_copy_only=False)
            column = column.indices
        key[name] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    distance = data["distance"].to_numpy().astype(np.float64).reshape(-1, steps)
    return Curves(key, words, alpha[0], distance, data["detour"].to_numpy().reshape(-1, steps).max(1))


def _same(word: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([word]))


def of_path(curves: Curves, w: Floats) -> Floats:
    """Return, for each curve, w of its path: of resid_post at the interpolation layer, for the same pair and condition.

    Args:
        curves: The curves.
        w: w of each curve, shape (curves,).

    Raises:
        ValueError: the path of a curve was not recorded.
    """
    runs = [curves.key[name] for name in ("pair", "condition", "interp_layer")]
    run_of = np.unique(np.stack(runs), axis=1, return_inverse=True)[1].reshape(-1)
    resid_post = curves.words["site"][curves.key["site"]] == "resid_post"
    path = resid_post & (curves.key["record_layer"] == curves.key["interp_layer"])
    found = np.full(run_of.max() + 1, np.nan)
    found[run_of[path]] = w[path]
    if np.isnan(found).any():
        raise ValueError("a path was not recorded at its own interpolation layer")
    return found[run_of]


def rows(stage: str, curves: Curves, rule: Rule) -> Columns:
    """Return the rows of the table `sharpness`, one per curve.

    Args:
        stage: The stage that recorded the curves, `interpolate` or `freeze`.
        curves: The curves.
        rule: The plateau rule.

    Raises:
        ValueError: see `of_path` and `plateaus.curves.sharpness.measure`.
    """
    found = measures.measure(curves.alpha, curves.distance)
    w_path = of_path(curves, found.w)
    words = {name: curves.words[name][curves.key[name]] for name in curves.words}
    return {
        "stage": np.full(len(found.w), stage),
        **{name: words.get(name, curves.key[name]) for name in KEY},
        "w": found.w,
        "midpoint": found.midpoint,
        "plateau_width": found.plateau_width,
        "rest_a": found.rest_a,
        "rest_b": found.rest_b,
        "max_slope": found.max_slope,
        "departure": found.departure,
        "w_path": w_path,
        "strength": measures.strength(found.w, w_path),
        "detour": curves.detour,
        "plateau": measures.is_plateau(found, rule),
        "half_plateau": measures.is_half_plateau(found, w_path, rule),
    }


def sharpness(job: Job) -> None:
    """Write the table `sharpness` of one shard.

    Raises:
        InputError: a table of curves is missing or does not hold whole curves.
    """
    rule = Rule(**job.slice)
    parts = []
    for table in (tables.INTERPOLATE, tables.FREEZE):
        path = table_path(job.root, job.model, table, job.shard)
        wanted = ("step", "alpha", "distance", "detour")
        columns = [name for name in table.columns if name in (*KEY, *wanted)]
        data = tables.read(table, [path], columns)
        if data.num_rows == 0:  # no pair of this shard is frozen
            continue
        try:
            parts.append(rows(table.stage, read_curves(data), rule))
        except ValueError as error:
            raise InputError(f"{path}: {error}: delete it and run again") from None
    whole: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    job.progress(f"{int(whole['plateau'].sum())} of {len(whole['plateau'])} curves meet the plateau rule")
    # No model is loaded here, so the model and its weights are taken from the metadata of the curves.
    made_from = tables.metadata_of(table_path(job.root, job.model, tables.INTERPOLATE, job.shard))
    metadata: dict[str, str] = {name: made_from[name] for name in ("model", "weights") if name in made_from}
    metadata |= {"parameters": digest(job.slice), "code": code_digest(job.stage)}
    path = table_path(job.root, job.model, tables.SHARPNESS, job.shard)
    tables.write(path, tables.SHARPNESS, whole, metadata)


if __name__ == "__main__":
    run("sharpness", sharpness)
