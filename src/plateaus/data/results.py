"""The layout of a results folder, `results/<run>/data/<model>/<stage>/...`, and read access to its tables."""

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
    """Return the path of one shard of a table.

    The file is `<shard>.parquet` for the table that is named after its stage, else `<shard>.<table>.parquet`.
    """
    suffix = "" if table.name == table.stage else f".{table.name}"
    return Path(root) / "data" / model / table.stage / f"{shard}{suffix}.parquet"


class Results:
    """Read access to one results folder, `results/<run>`.

    Attributes:
        root: The folder.
        models: Ids of the models, in the order of the config.
        shards: Names of all shards of the run.
        shown: Ids of the pairs to read from tables with one row per step; None reads all pairs. The rows of hundreds
            of pairs would not fit into memory.
    """

    def __init__(
        self, root: Path, models: Sequence[str], shards: Sequence[str], shown: Sequence[str] | None = None
    ) -> None:
        self.root, self.models, self.shards = Path(root), tuple(models), tuple(shards)
        self.shown = None if shown is None else tuple(shown)
        self._frames: dict[tuple[str, str], pd.DataFrame] = {}

    def paths(self, model: str, table: tables.Table) -> list[Path]:
        """Return the files of a table: one per shard, or a single one if the table is not split into shards."""
        shards = self.shards if table.sharded else ("all",)
        return [table_path(self.root, model, table, shard) for shard in shards]

    def table(self, model: str, table: tables.Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a table over all shards as a data frame, which is read once and then kept.

        Args:
            model: Id of the model.
            table: The declaration.
            columns: Columns to read; None reads all columns except the vectors.

        Raises:
            InputError: a file is missing or unreadable, or holds another table or version.
        """
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
        """The table `endpoints` of the first model (context, a, b, tags and more), indexed by the id of the pair."""
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
        """Return the rows of `interpolate` for one pair, sorted by key.

        Args:
            model: Id of the model.
            pair: Id of the pair.
            interp_layer: Interpolation layer; None keeps all of them.
            record_layer: Recording layer; None keeps all of them.
            site: Recording site, ``resid_post`` or ``logits``.

        Raises:
            InputError: no row matches.
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
