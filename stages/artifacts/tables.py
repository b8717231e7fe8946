"""Write and read Parquet tables under an explicit contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.artifacts import disk


@dataclass(frozen=True)
class Contract:
    """What one kind of table holds: columns, types, nullability, units and allowed values."""

    name: str
    schema: pa.Schema
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)


def column(name: str, kind: pa.DataType, about: str, *, nullable: bool = False, unit: str | None = None) -> pa.Field:
    """Declare one column; its meaning and unit become field metadata of the Parquet file."""
    metadata = {"about": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


def from_rows(contract: Contract, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table of a contract from dictionaries; a missing key is a null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=contract.schema)


def write(path: Path, table: pa.Table, contract: Contract) -> None:
    """Validate a table and write it whole or not at all.

    Raises:
        ValueError: if the table breaks its contract.
        DiskFullError: if the disk is full; an earlier table is left as it was.
    """
    if set(contract.schema.names) <= set(table.column_names):
        # Nulls are for the validation to name, so the types are cast first.
        relaxed = pa.schema([field.with_nullable(True) for field in contract.schema])
        table = table.select(contract.schema.names).cast(relaxed)
    _validate(table, contract, path)
    table = table.cast(contract.schema)
    with disk.replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd", store_schema=True)


def read(path: Path, contract: Contract, columns: list[str] | None = None) -> pa.Table:
    """Read a table and check it against its contract.

    Args:
        path: the Parquet file.
        contract: what it must hold.
        columns: the columns to load; all of them by default.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: naming file, column and row where the contract is broken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no {contract.name} table; run the stage that writes it (`dvc repro`)")
    table = pq.read_table(path, columns=columns)
    wanted = contract.schema if columns is None else pa.schema([contract.schema.field(name) for name in columns])
    _validate(table, Contract(contract.name, wanted, contract.allowed), path)
    return table


def _validate(table: pa.Table, contract: Contract, path: Path) -> None:
    where = f"{path} ({contract.name})"
    for wanted in contract.schema:
        if wanted.name not in table.column_names:
            raise ValueError(f"{where}: column {wanted.name!r} is missing; written by another version? run `dvc repro`")
        values = table.column(wanted.name)
        if values.type != wanted.type:
            raise ValueError(f"{where}: column {wanted.name!r} is {values.type}, expected {wanted.type}")
        if not wanted.nullable and values.null_count:
            row = pc.index(values.is_null(), True).as_py()
            raise ValueError(f"{where}: column {wanted.name!r}, row {row}: empty, expected {wanted.type}")
        if wanted.name in contract.allowed:
            _validate_codes(values, contract.allowed[wanted.name], f"{where}: column {wanted.name!r}")


def _validate_codes(values: pa.ChunkedArray, allowed: frozenset[str], where: str) -> None:
    is_known = pc.or_(pc.is_in(values, value_set=pa.array(sorted(allowed))), values.is_null())
    row = pc.index(is_known, False).as_py()
    if row >= 0:
        raise ValueError(f"{where}, row {row}: {values[row].as_py()!r}, expected one of {sorted(allowed)}")
