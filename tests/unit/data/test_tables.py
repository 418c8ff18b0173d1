"""Tables are checked when written and read, are written atomically, and give equal bytes for equal results."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plateaus.data import tables
from plateaus.data.tables import TOKENS, TRACE
from plateaus.errors import InputError


def tokens(**changes) -> dict:
    columns = {
        "pair": ["p"] * 4,
        "token_id": [7, 7, 3, 3],
        "step": [0, 1, 0, 1],
        "alpha": [0.0, 1.0, 0.0, 1.0],
        "token": [" in", " in", "\n", "\n"],
        "probability": [0.25, 0.5, 0.75, 0.5],
    }
    return {**columns, **changes}


def trace(rows: int = 2, d: int = 3) -> dict:
    vectors = np.arange(rows * d, dtype=np.float32).reshape(rows, d)
    return {
        "pair": ["p"] * rows, "layer": [1] * rows, "step": list(range(rows)), "alpha": np.linspace(0, 1, rows),
        "mlp_input": vectors, "resid_post": -vectors,
    }  # fmt: skip


def test_what_is_written_is_read_back_sorted_by_key(tmp_path):
    tables.write(tmp_path / "a.parquet", TOKENS, tokens(), {"parameters": "x"})
    frame = tables.read_frame(TOKENS, [tmp_path / "a.parquet"])
    assert list(frame["token_id"]) == [3, 3, 7, 7]
    assert list(frame["token"]) == ["\n", "\n", " in", " in"]
    assert list(frame["probability"]) == [0.75, 0.5, 0.25, 0.5]
    assert tables.metadata_of(tmp_path / "a.parquet") == {
        "parameters": "x",
        "table": "tokens",
        "table_version": "1",
    }


def test_row_order_does_not_reach_the_bytes(tmp_path):
    turned = {name: values[::-1] for name, values in tokens().items()}
    tables.write(tmp_path / "a.parquet", TOKENS, tokens(), {})
    tables.write(tmp_path / "b.parquet", TOKENS, turned, {})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_vectors_come_back_as_they_were(tmp_path):
    tables.write(tmp_path / "a.parquet", TRACE, trace(), {})
    data = tables.read(TRACE, [tmp_path / "a.parquet"])
    np.testing.assert_array_equal(tables.vectors(data, "mlp_input"), trace()["mlp_input"])
    np.testing.assert_array_equal(tables.vectors(data, "resid_post"), trace()["resid_post"])


def test_shards_are_read_as_one_table_in_order_of_the_key(tmp_path):
    tables.write(tmp_path / "b.parquet", TOKENS, tokens(pair=["a"] * 4), {})
    tables.write(tmp_path / "a.parquet", TOKENS, tokens(pair=["b"] * 4), {})
    frame = tables.read_frame(TOKENS, [tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert list(frame["pair"].astype(str)) == ["a"] * 4 + ["b"] * 4


def test_some_or_none_of_the_pairs_are_read(tmp_path):
    """A shard may hold no pair that a stage works on."""
    tables.write(tmp_path / "a.parquet", TOKENS, tokens(pair=["a"] * 4), {})
    tables.write(tmp_path / "b.parquet", TOKENS, tokens(pair=["b"] * 4), {})
    both = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert set(tables.read_frame(TOKENS, both, pairs=["b", "c"])["pair"].astype(str)) == {"b"}
    assert tables.read_frame(TOKENS, both, pairs=[]).empty


def test_vectors_are_read_some_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    tables.write(tmp_path / "a.parquet", TRACE, trace(rows=8), {})
    found = list(tables.vector_batches(TRACE, tmp_path / "a.parquet", "resid_post"))
    assert max(map(len, found)) <= 3
    np.testing.assert_array_equal(np.concatenate(found), trace(rows=8)["resid_post"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probability": [0.1, np.nan, 0.2, 0.3]}, "probability.*not finite"),
        ({"probability": [0.1, np.inf, 0.2, 0.3]}, "probability.*not finite"),
        ({"step": [0, 0, 0, 1]}, "not unique"),
        ({"token": [None, "a", "b", "c"]}, "nulls"),
        ({"extra": [1, 2, 3, 4]}, "unknown columns"),
    ],
)
def test_a_wrong_table_is_not_written(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tables.write(tmp_path / "a.parquet", TOKENS, tokens(**changes), {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_step_size_is_null_and_not_nan(tmp_path):
    columns = {name: [0] for name in tables.INTERPOLATE.columns}
    columns |= {"pair": ["p"], "site": ["logits"], "step_size": [np.nan]}
    assert tables.build(tables.INTERPOLATE, columns)["step_size"].null_count == 1


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("earlier")

    def interrupted() -> None:
        with tables.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_a_missing_damaged_or_other_file_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        tables.read(TOKENS, [tmp_path / "none.parquet"])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        tables.read(TOKENS, [tmp_path / "bad.parquet"])
    tables.write(tmp_path / "trace.parquet", TRACE, trace(), {})
    with pytest.raises(InputError, match="holds table trace version 1 where tokens"):
        tables.read(TOKENS, [tmp_path / "trace.parquet"])


def test_a_file_with_another_column_type_is_refused(tmp_path):
    data = tables.build(TOKENS, tokens())
    data = data.set_column(5, "probability", data["probability"].cast(pa.float64()))
    tags = {"plateaus.table": "tokens", "plateaus.table_version": "1"}
    pq.write_table(data.replace_schema_metadata(tags), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="probability is double instead of float"):
        tables.read(TOKENS, [tmp_path / "a.parquet"])


def test_the_grid_is_counted():
    with pytest.raises(ValueError, match=r"4 rows instead of 5 .steps."):
        tables.check_grid(TOKENS, tables.build(TOKENS, tokens()), 5, "steps")


def test_every_table_names_its_stage_and_a_key_of_its_own_columns():
    from plateaus.config.stages import STAGES

    for table in tables.TABLES.values():
        assert table.stage in (*STAGES, "selfcheck")
        assert set(table.key) <= set(table.columns)
        assert table.optional <= set(table.columns) - set(table.key)
