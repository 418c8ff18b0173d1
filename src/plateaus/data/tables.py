"""Reading and writing of the tables between stages, which are declared in `plateaus.data.schemas`.

Tables are Parquet files, written atomically and checked when they are written and read. They are in long format, with
one row per value of the key, sorted by key. The file's metadata give the table, its version and hashes of its inputs,
but no times and no machine names, so equal results give equal bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from plateaus.data.schemas import (
    CLAIM_VALUES,
    CLAIMS,
    CODES,
    ENDPOINT_CHECK,
    ENDPOINTS,
    EXTRACT,
    FIGURES,
    FREEZE,
    INTERPOLATE,
    JACOBIAN,
    MAP,
    MEASURE,
    NEURONS,
    ROBUSTNESS,
    SELFCHECK,
    SHARPNESS,
    SPLINE,
    TABLES,
    TOKENS,
    TRACE,
    TRIPLES,
    VECTOR,
    WORD,
    Table,
)
from plateaus.data.temporary import name_beside
from plateaus.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLAIMS",
    "CLAIM_VALUES",
    "CODES",
    "ENDPOINTS",
    "ENDPOINT_CHECK",
    "EXTRACT",
    "FIGURES",
    "FREEZE",
    "INTERPOLATE",
    "JACOBIAN",
    "MAP",
    "NEURONS",
    "ROBUSTNESS",
    "SELFCHECK",
    "SHARPNESS",
    "SPLINE",
    "TABLES",
    "TOKENS",
    "TRACE",
    "TRIPLES",
    "VECTOR",
    "Table",
    "atomic_path",
    "build",
    "check",
    "check_grid",
    "metadata_of",
    "no_rows",
    "read",
    "read_frame",
    "vector_batches",
    "vectors",
    "write",
    "write_table",
]

ROWS_AT_ONCE = 8192
"""How many rows with vectors are written as one group, and read at a time."""


def build(table: Table, columns: Mapping[str, Any]) -> pa.Table:
    """Build an Arrow table in the declared types, sorted by key and checked.

    Args:
        table: The declaration.
        columns: Column name to a sequence or NumPy array of n values; vectors are arrays of shape (n, d).

    Raises:
        ValueError: a column is missing or unknown, or `check` fails.
    """
    unknown, missing = set(columns) - set(table.columns), set(table.columns) - set(columns)
    if unknown or missing:
        raise ValueError(f"table {table.name}: unknown columns {sorted(unknown)}, missing {sorted(missing)}")
    arrays = [_array(table, name, columns[name]) for name in table.columns]
    built = _sorted(pa.Table.from_arrays(arrays, names=list(table.columns)), table.key)
    check(table, built)
    return built


def no_rows(table: Table, width: int) -> dict[str, Any]:
    """Return the columns of a table without rows; `width` is the length of its vectors."""
    import numpy as np

    return {name: np.empty((0, width)) if kind == VECTOR else [] for name, kind in table.columns.items()}


def _sorted(data: pa.Table, key: Sequence[str]) -> pa.Table:
    """Sort by key. Arrow cannot sort dictionary columns by their text, so their words are ranked first."""
    ranks = {}
    for name in key:
        column = data[name]
        if pa.types.is_dictionary(column.type):
            column = column.combine_chunks()
            order = pc.rank(column.dictionary, tiebreaker="dense")
            ranks[name] = pc.take(order, column.indices)
        else:
            ranks[name] = column
    order = pc.sort_indices(pa.table(ranks), sort_keys=[(name, "ascending") for name in key])
    if order.equals(pa.array(range(len(order)), order.type)):
        return data.combine_chunks()  # in order already, so that large vectors need not be copied
    return data.take(order).combine_chunks()


def _array(table: Table, name: str, values: Any) -> pa.Array:
    import numpy as np

    kind = table.columns[name]
    if kind == VECTOR:
        matrix = np.ascontiguousarray(values, dtype=np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    if kind == MEASURE:
        floats = np.asarray(values, dtype=np.float32)
        # NaN in an optional column stands for a missing value (the step size at the last step).
        return pa.array(floats, from_pandas=name in table.optional)
    if kind == WORD:
        words = pa.array(list(values), pa.string())
        known = pc.unique(words.drop_null()).sort()  # sorted, so that equal tables give equal bytes
        return pa.DictionaryArray.from_arrays(pc.index_in(words, known), known).cast(WORD)
    return pa.array(values, kind)


def check(table: Table, data: pa.Table) -> None:
    """Check the columns, their types, nulls, that floats are finite, and that the key is unique.

    Raises:
        ValueError: names the table and the column or key that fails.
    """
    if data.column_names != list(table.columns):
        raise ValueError(f"table {table.name}: columns {data.column_names} instead of {list(table.columns)}")
    for name, kind in table.columns.items():
        column, found = data[name], data.schema.field(name).type
        fits = pa.types.is_fixed_size_list(found) if kind == VECTOR else found == kind
        if not fits:
            raise ValueError(f"table {table.name}: column {name} is {found} instead of {kind}")
        if name not in table.optional and column.null_count:
            raise ValueError(f"table {table.name}: column {name} has {column.null_count} nulls")
        for chunk in column.chunks:  # one by one, because joining the chunks would copy large vectors
            floats = chunk.flatten() if kind == VECTOR else chunk
            if pa.types.is_floating(floats.type) and pc.all(pc.is_finite(floats.drop_null())).as_py() is False:
                raise ValueError(f"table {table.name}: column {name} holds values that are not finite")
    keys = data.select(list(table.key))
    if keys.group_by(list(table.key)).aggregate([]).num_rows != keys.num_rows:
        raise ValueError(f"table {table.name}: the key {table.key} is not unique")


def check_grid(table: Table, data: pa.Table, expected: int, what: str) -> None:
    """Check that a table has the number of rows that its stage expects.

    Args:
        table: The declaration.
        data: The table.
        expected: Number of rows.
        what: How the number comes about, for the message.

    Raises:
        ValueError: the number of rows differs from `expected`.
    """
    if data.num_rows != expected:
        raise ValueError(f"table {table.name}: {data.num_rows} rows instead of {expected} ({what})")


def write(path: Path, table: Table, columns: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Build, check and write a table atomically (temporary name, then rename).

    Args:
        path: Path of the file; its folder is created.
        table: The declaration.
        columns: See `build`.
        metadata: Hashes of the inputs; the name and version of the table are added.

    Raises:
        ValueError: see `build`.
    """
    write_table(path, table, build(table, columns), metadata)


def write_table(path: Path, table: Table, data: pa.Table, metadata: Mapping[str, str]) -> None:
    """Write an already built table atomically; see `write`."""
    tags = {"table": table.name, "table_version": str(table.version), **metadata}
    data = data.replace_schema_metadata({f"plateaus.{key}": tags[key] for key in sorted(tags)})
    # Vectors hardly repeat, so a dictionary of them would be of no use; and they are encoded a few at a time.
    plain = [name for name, kind in table.columns.items() if kind != VECTOR]
    rows = None if len(plain) == len(table.columns) else ROWS_AT_ONCE
    with atomic_path(path) as temporary:
        pq.write_table(
            data, temporary, compression="zstd", compression_level=3, use_dictionary=plain, row_group_size=rows
        )


class atomic_path:
    """Context manager that gives a temporary path beside `path`.

    The temporary file is renamed to `path` when the block succeeds and deleted when it raises.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.temporary = name_beside(self.path)

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def read(
    table: Table, paths: Iterable[Path], columns: Sequence[str] | None = None, pairs: Sequence[str] | None = None
) -> pa.Table:
    """Read the shards of a table as one table, sorted by key.

    A table that is read whole is also checked against its declaration.

    Args:
        table: The declaration.
        paths: One file per shard.
        columns: The columns to read; None reads all of them.
        pairs: Ids of the pairs whose rows are kept; None keeps all rows.

    Raises:
        InputError: a file is missing or unreadable, or holds another table or version; or no file is given.
        ValueError: a file that is read whole fails `check`.
    """
    parts = []
    kept = None if pairs is None else pc.field("pair").isin(pa.array(list(pairs), pa.string()))
    for path in paths:
        with _opened(table, path):
            part = pq.read_table(
                path, columns=list(columns) if columns is not None else None, filters=kept, partitioning=None
            )
        if columns is None and pairs is None:
            check(table, part)
        parts.append(part.replace_schema_metadata(None))
    if not parts:
        raise InputError(f"no file of table {table.name} was given: run snakemake to make it")
    whole = pa.concat_tables(parts).unify_dictionaries()
    key = [name for name in table.key if name in whole.column_names]
    return _sorted(whole, key) if key and len(parts) > 1 else whole


def read_frame(
    table: Table, paths: Iterable[Path], columns: Sequence[str] | None = None, pairs: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a table as `read` does, into a pandas data frame (dictionary columns become categoricals)."""
    frame: pd.DataFrame = read(table, paths, columns, pairs).to_pandas()
    return frame


def vectors(data: pa.Table, name: str) -> Any:
    """Return a vector column as a NumPy array of shape (rows, d)."""
    column = data[name].combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def vector_batches(table: Table, path: Path, name: str) -> Iterator[Any]:
    """Read a vector column as NumPy arrays of shape (some rows, d), in order, without holding all of it.

    Raises:
        InputError: see `read`.
    """
    with _opened(table, path):
        for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=[name]):
            yield vectors(pa.Table.from_batches([batch]), name)


@contextmanager
def _opened(table: Table, path: Path) -> Iterator[None]:
    """Check that a file holds a table, and say in one line if it cannot be read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        found = tuple(metadata.get(key, b"?").decode() for key in (b"plateaus.table", b"plateaus.table_version"))
        if found != (table.name, str(table.version)):
            raise InputError(
                f"{path} holds table {found[0]} version {found[1]} where {table.name} version {table.version} "
                "is needed: delete it and run again"
            )
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run snakemake to make it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}): delete it and run again") from None


def metadata_of(path: Path) -> dict[str, str]:
    """Return the `plateaus.*` metadata of a Parquet file, without the prefix."""
    raw = pq.read_schema(path).metadata or {}
    return {
        key.decode().removeprefix("plateaus."): value.decode()
        for key, value in raw.items()
        if key.startswith(b"plateaus.")
    }
