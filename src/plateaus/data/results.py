"""The layout of a results folder, and reading from it: `results/<run>/data/<model>/<stage>/...`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plateaus.data import tables
from plateaus.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def table_path(root: Path, model: str, table: tables.Table, shard: str) -> Path:
    """Where a shard of a table lies; a stage's main table has the stage's name and the shard's file name."""
    suffix = "" if table.name == table.stage else f".{table.name}"
    return Path(root) / "data" / model / table.stage / f"{shard}{suffix}.parquet"


class Results:
    """Read access to one results folder, `results/<run>`.

    Attributes:
        root: The folder.
        models: Ids of the models, in the config's order.
        shards: Names of the shards that the run consists of.
        shown: Pairs whose curves are wanted; of tables with a row per step, the others' rows are not read (of hundreds
            of pairs they would not fit into memory). None for all.
    """

    def __init__(
        self, root: Path, models: Sequence[str], shards: Sequence[str], shown: Sequence[str] | None = None
    ) -> None:
        self.root, self.models, self.shards = Path(root), tuple(models), tuple(shards)
        self.shown = None if shown is None else tuple(shown)
        self._frames: dict[tuple[str, str], pd.DataFrame] = {}

    def paths(self, model: str, table: tables.Table) -> list[Path]:
        """The files of a table, one per shard."""
        return [table_path(self.root, model, table, shard) for shard in self.shards]

    def table(self, model: str, table: tables.Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A table over all shards, read once; without its vectors unless `columns` names them."""
        if columns is None:
            columns = [name for name, kind in table.columns.items() if kind != tables.VECTOR]
        found = self._frames.get((model, table.name))
        if found is None or not set(columns) <= set(found.columns):
            found = tables.read_frame(
                table, self.paths(model, table), columns, self.shown if "step" in table.key else None
            )
            self._frames[model, table.name] = found
        return found

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The prompt pairs (id as index: context, a, b, tags), as the first model saw them."""
        frame = self.table(self.models[0], tables.ENDPOINTS)
        return frame.assign(pair=frame["pair"].astype(str)).set_index("pair")

    def curve(
        self,
        model: str,
        pair: str,
        *,
        interp_layer: int | None = None,
        record_layer: int | None = None,
        site: str = "resid_post",
    ) -> pd.DataFrame:
        """The rows of `interpolate` for one pair, narrowed by layer and site, sorted by key.

        Raises:
            InputError: when there is no such row.
        """
        frame = self.table(model, tables.INTERPOLATE)
        mask = (frame["pair"] == pair) & (frame["site"] == site)
        if interp_layer is not None:
            mask &= frame["interp_layer"] == interp_layer
        if record_layer is not None:
            mask &= frame["record_layer"] == record_layer
        rows = frame[mask]
        if rows.empty:
            raise InputError(
                f"{self.root} has no {site} curve for pair {pair}, model {model}, interpolation layer {interp_layer}, "
                f"recording layer {record_layer}: check interpolate.layers and figures.pairs in the config"
            )
        return rows
