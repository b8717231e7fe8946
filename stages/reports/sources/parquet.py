"""Reports out of a Parquet file or a folder of them, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.reports.sources.base import Columns, RawReport, Source
from stages.reports.sources.files import Export
from stages.reports.sources.records import missing_columns, report_of_record

_BATCH = 1000


def read_parquet(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read one report a row; a file that is no Parquet, or breaks off, is a row of its own.

    Raises:
        ValueError: if a file lacks a column.
    """
    num_records = 0
    for file in export.tables:
        for record in _records(file, columns):
            yield report_of_record(num_records, record, columns)
            num_records += 1


def _records(file: Path, columns: Columns) -> Iterator[Any]:
    try:
        table = pq.ParquetFile(file)
    except (OSError, pa.ArrowException):
        yield None
        return
    names = table.schema_arrow.names
    if missing := missing_columns(names, columns):
        raise ValueError(f"{file}: no column {missing}, got {len(names)} others; set extract_findings.columns")
    wanted = {*columns.needed, *filter(None, [columns.language])}
    kept = [name for name in names if name in wanted or name in {one.split(".")[0] for one in wanted}]
    try:
        for batch in table.iter_batches(batch_size=_BATCH, columns=kept):
            yield from batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException):
        yield None
