"""The fine maps of a run, packed for the page: distances to the corners and the likeliest next token at every point."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pandas as pd

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import maps
from plateaus.drawing.contract import Settings
from plateaus.page.explorer.payload import packed

UNIT = 1e-3
"""The step to which distances and probabilities are rounded."""


def of_run(results: Results, settings: Settings) -> str | None:
    """Pack the fine maps of every model.

    Returns:
        The packed data in base64, or None if no model has a map.
    """
    whole = Results(results.root, results.models, results.shards)
    parts = [_of_model(whole, model) for model in settings.mapped if maps.maps(whole, model, fine=True)]
    if not parts:
        return None
    about = [one for found, _ in parts for one in found]
    tokens = sorted({token for one in about for token in one["token"]})
    place = {token: number for number, token in enumerate(tokens)}
    for one in about:
        one["token"] = [place[token] for token in one["token"]]
    numbers = b"".join(found for _, found in parts)
    text = json.dumps(
        {"maps": about, "tokens": tokens, "unit": UNIT}, separators=(",", ":"), ensure_ascii=False
    ).encode()
    lengths = np.array([len(text), len(numbers)], "<u4").tobytes()
    return base64.b64encode(zlib.compress(lengths + text + numbers, 9)).decode()


def _of_model(results: Results, model: str) -> tuple[list[dict[str, Any]], bytes]:
    triples, points = results.table(model, tables.TRIPLES), results.table(model, tables.MAP)
    fine = triples[triples["side"] == triples["side"].max()]
    found = [_of_map(model, row, points) for _, row in fine.iterrows()]
    return [about for about, _ in found], b"".join(numbers for _, numbers in found)


def _of_map(model: str, row: pd.Series, points: pd.DataFrame) -> tuple[dict[str, Any], bytes]:
    mine = points[(points["triple"] == row["triple"]) & (points["side"] == row["side"])].sort_values("point")
    side = int(row["side"])
    names = [f"{maps.SITE}_{corner}" for corner in maps.CORNERS] + ["probability"]
    values = [mine[name].to_numpy(np.float64).reshape(side, side) for name in names]
    # Each map is packed by itself, so that the bytes of its rows are together.
    numbers = packed(np.concatenate(values), UNIT)
    about = {
        "model": model,
        "context": str(row["context"]),
        "words": [str(row[corner]) for corner in maps.CORNERS],
        "side": side,
        "x": [float(mine["x"].min()), float(mine["x"].max())],
        "y": [float(mine["y"].min()), float(mine["y"].max())],
        "bytes": len(numbers),
        "token": mine["token"].astype(str).tolist(),
    }
    return about, numbers
