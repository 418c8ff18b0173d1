"""The curves of a run, packed so that a page can carry all of them: about one byte per value before compression.

The distances of a curve are rounded to whole multiples of a unit. Second differences along the curve are small, because
curves are smooth; they are written as unsigned numbers (zigzag), all low bytes before all high bytes, and deflated. The
page's script (`explorer.js`) undoes these steps.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import frozen, panels, suite
from plateaus.drawing.contract import Settings
from plateaus.judging.measures import NEXT_TOKEN

CONDITIONS = tuple(frozen.LOOKS)
"""The freezing conditions; the first freezes nothing."""
UNITS = (1e-4, 1e-3)
"""The steps to which distances are rounded: the first with which the data fit."""
LARGEST = 1_900_000
"""Bytes that the packed data of a page may take."""
PROBABILITY = 1e-4
"""The step to which the probabilities of tokens are rounded."""
OTHER = "other pairs"
"""The kind of a pair that is neither published nor of the suite."""


class Curves(NamedTuple):
    """All curves of one model.

    Attributes:
        pair: (curves,) place of each curve's pair in the list of pairs.
        condition: (curves,) place of the condition in `CONDITIONS`.
        start: (curves,) interpolation layer.
        record: (curves,) recording layer; the number of layers stands for the logits, one more for next tokens.
        distance: (curves, steps) relative distance.
    """

    pair: NDArray[Any]
    condition: NDArray[np.int64]
    start: NDArray[np.int64]
    record: NDArray[np.int64]
    distance: NDArray[np.float64]

    def only(self, mask: NDArray[np.bool_]) -> Curves:
        """Return the curves of a mask."""
        return Curves(self.pair[mask], self.condition[mask], self.start[mask], self.record[mask], self.distance[mask])


class Payload(NamedTuple):
    """What a page carries.

    Attributes:
        texts: Model to its packed data, in base64.
        unit: The step to which distances are rounded.
        inner: True if the curves recorded inside the model are there for all pairs, False if only for the pairs of the
            figures.
    """

    texts: dict[str, str]
    unit: float
    inner: bool

    @property
    def size(self) -> int:
        """Bytes of all packed data."""
        return sum(map(len, self.texts.values()))


def of_run(results: Results, settings: Settings) -> Payload:
    """Pack the curves of all models and pairs; of inner curves only those of the figures' pairs, if all do not fit.

    Args:
        results: The results of the run; tables are read in full, whatever pairs it shows.
        settings: The settings of the figures.
    """
    whole = Results(results.root, results.models, results.shards)
    ids = {model: sorted(whole.table(model, tables.ENDPOINTS)["pair"].astype(str)) for model in whole.models}
    curves = {model: _curves(whole, model, ids[model]) for model in whole.models}
    layers = {model: panels.n_layers(whole, model) for model in whole.models}
    for inner in (True, False):
        for unit in UNITS:
            texts = {}
            for model in whole.models:
                kept = curves[model] if inner else _outer(curves[model], layers[model], ids[model], settings.pairs)
                texts[model] = _packed(whole, model, settings, ids[model], kept, unit)
            payload = Payload(texts, unit, inner)
            if payload.size <= LARGEST:
                return payload
    return payload


def packed(values: NDArray[np.float64], unit: float) -> bytes:
    """Return rows of numbers as bytes: second differences, zigzag, low bytes before high bytes.

    Args:
        values: (rows, columns) numbers whose second differences are below 32,768 units.
        unit: The step to which they are rounded.

    Raises:
        ValueError: a second difference is larger, and would not come back.
    """
    whole = np.rint(values / unit).astype(np.int64)
    for _ in range(2):
        whole = np.diff(whole, axis=1, prepend=0)
    if whole.size and np.abs(whole).max() >= 2**15:
        raise ValueError(f"a second difference is {np.abs(whole).max()} units of {unit:g}, more than 16 bits can hold")
    folded = np.where(whole < 0, -2 * whole - 1, 2 * whole).astype(np.uint16)
    return (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()


def _curves(results: Results, model: str, ids: Sequence[str]) -> Curves:
    interpolated, frozen_curves = (
        _of_table(results, model, table, ids) for table in (tables.INTERPOLATE, tables.FREEZE)
    )
    # Without anything frozen, the table of freeze repeats curves of interpolate.
    again = frozen_curves.only(frozen_curves.condition > 0)
    return Curves(*(np.concatenate([getattr(interpolated, name), getattr(again, name)]) for name in Curves._fields))


def _of_table(results: Results, model: str, table: tables.Table, ids: Sequence[str]) -> Curves:
    place = {pair: number for number, pair in enumerate(ids)}
    frame = results.table(model, table, [*table.key, "distance"])
    first = frame[frame["step"] == 0]
    condition = first["condition"].astype(str).map(CONDITIONS.index) if "condition" in first else 0
    return Curves(
        pair=first["pair"].astype(str).map(place).to_numpy(np.int64),
        condition=np.zeros(len(first), np.int64) + np.asarray(condition, np.int64),
        start=first["interp_layer"].to_numpy(np.int64),
        record=first["record_layer"].to_numpy(np.int64) + (first["site"] == NEXT_TOKEN).to_numpy(np.int64),
        distance=frame["distance"].to_numpy(np.float64).reshape(len(first), -1),
    )


def _outer(curves: Curves, layers: int, ids: Sequence[str], shown: Iterable[str]) -> Curves:
    places = [ids.index(pair) for pair in shown if pair in ids]
    return curves.only((curves.record >= layers) | np.isin(curves.pair, places))


def _packed(results: Results, model: str, settings: Settings, ids: Sequence[str], curves: Curves, unit: float) -> str:
    tokens = _tokens(results, model, ids)
    about = {
        "trained": settings.about(model).trained,
        "layers": panels.n_layers(results, model),
        "steps": curves.distance.shape[1],
        "unit": unit,
        "pairs": _pairs(results, model, settings, ids),
        "tokens": {"pair": tokens["place"].tolist(), "text": tokens["token"].tolist()},
        "curves": {name: getattr(curves, name).tolist() for name in ("pair", "condition", "start", "record")},
    }
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    probabilities = np.array(tokens["probability"].tolist(), np.float64).reshape(len(tokens), -1)
    parts = [text, packed(curves.distance, unit), packed(probabilities, PROBABILITY) if len(tokens) else b""]
    lengths = np.array([len(part) for part in parts], "<u4").tobytes()
    return base64.b64encode(zlib.compress(lengths + b"".join(parts), 9)).decode()


def _pairs(results: Results, model: str, settings: Settings, ids: Sequence[str]) -> list[dict[str, Any]]:
    ends = {str(row["pair"]): row for row in results.table(model, tables.ENDPOINTS).to_dict("records")}
    strengths = [
        {str(pair): float(s) for pair, s in suite.curves(results, model, settings, yardstick)["strength"].items()}
        for yardstick in suite.YARDSTICKS
    ]
    found = []
    for pair in ids:
        row = ends[pair]
        kind = suite.kind_of(suite.tags_of(str(row["tags"])))
        found.append(
            {
                "id": pair,
                **{name: str(row[name]) for name in ("context", "a", "b")},
                "kind": OTHER if kind is None else kind.label,
                "jsd": round(float(row["jsd"]), 4),
                "strength": [round(one[pair], 4) if pair in one else None for one in strengths],
            }
        )
    return found


def _tokens(results: Results, model: str, ids: Sequence[str]) -> pd.DataFrame:
    """Return one row per pair and token that was followed: the pair's place, its text, and its probabilities."""
    frame = results.table(model, tables.TOKENS)
    place = {pair: number for number, pair in enumerate(ids)}
    grouped = frame.groupby(["pair", "token_id"], observed=True, sort=True)
    rows = grouped.agg(token=("token", "first"), probability=("probability", list)).reset_index()
    return rows.assign(place=rows["pair"].astype(str).map(place), token=rows["token"].astype(str))
