import pyarrow as pa
import pytest

from stages.artifacts import tables
from stages.artifacts.tables import Contract, column

CONTRACT = Contract(
    "example",
    pa.schema(
        [column("size_mm", pa.float32(), "a size", unit="mm"), column("side", pa.string(), "a side", nullable=True)]
    ),
    {"side": frozenset({"left", "right"})},
)


def test_round_trip_keeps_values_and_units(tmp_path):
    path = tmp_path / "example.parquet"
    tables.write(path, tables.from_rows(CONTRACT, [{"size_mm": 3.5, "side": "left"}, {"size_mm": 1.0}]), CONTRACT)
    table = tables.read(path, CONTRACT)
    assert table.to_pylist() == [{"size_mm": 3.5, "side": "left"}, {"size_mm": 1.0, "side": None}]
    assert table.schema.field("size_mm").metadata[b"unit"] == b"mm"
    assert [entry.name for entry in tmp_path.iterdir()] == ["example.parquet"]


def test_empty_tables_are_tables(tmp_path):
    tables.write(tmp_path / "empty.parquet", tables.from_rows(CONTRACT, []), CONTRACT)
    assert tables.read(tmp_path / "empty.parquet", CONTRACT).num_rows == 0


def test_an_unknown_code_is_named_with_file_column_and_row(tmp_path):
    rows = [{"size_mm": 1.0, "side": "left"}, {"size_mm": 1.0, "side": "top"}]
    with pytest.raises(ValueError, match=r"bad.parquet \(example\): column 'side', row 1: 'top', expected one of"):
        tables.write(tmp_path / "bad.parquet", tables.from_rows(CONTRACT, rows), CONTRACT)
    assert not list(tmp_path.iterdir())


def test_a_missing_value_is_named(tmp_path):
    table = pa.table({"size_mm": pa.array([1.0, None], pa.float32()), "side": pa.array(["left", None])})
    with pytest.raises(ValueError, match="column 'size_mm', row 1: empty"):
        tables.write(tmp_path / "bad.parquet", table, CONTRACT)


def test_a_missing_column_and_a_wrong_type_are_named_on_reading(tmp_path):
    path = tmp_path / "other.parquet"
    pa.parquet.write_table(pa.table({"size_mm": pa.array([1.0], pa.float32())}), path)
    with pytest.raises(ValueError, match="column 'side' is missing"):
        tables.read(path, CONTRACT)
    pa.parquet.write_table(pa.table({"size_mm": ["x"], "side": ["left"]}), path)
    with pytest.raises(ValueError, match="column 'size_mm' is string, expected float"):
        tables.read(path, CONTRACT)
    with pytest.raises(FileNotFoundError, match="run the stage that writes it"):
        tables.read(tmp_path / "none.parquet", CONTRACT)
