"""Reports out of JSON lines (also gzip, also one JSON list), a file or a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.reports.sources.base import Columns, RawReport, Source
from stages.reports.sources.files import Export
from stages.reports.sources.json_values import json_values
from stages.reports.sources.records import missing_columns, report_of_record


def read_json_lines(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read one report a line; a broken line is a row of its own.

    Raises:
        ValueError: if no line has one of the columns, or a list is too large to be held.
    """
    names: set[str] = set()
    num_records = 0
    for file in export.tables:
        for record in _records(file, source.encoding):
            names.update(record if isinstance(record, dict) else ())
            yield report_of_record(num_records, record, columns)
            num_records += 1
    if names and (missing := missing_columns(names, columns)):
        raise ValueError(
            f"{export.path}: no line has {missing}, got {len(names)} other keys; set extract_findings.columns"
        )


def _records(file: Path, encoding: str | None) -> Iterator[Any]:
    for value in json_values(file, encoding):
        if isinstance(value, list):
            yield from value
        else:
            yield value
