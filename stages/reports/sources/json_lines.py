"""Reports out of JSON lines (also gzip, also one JSON list), a file or a folder of files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from stages.reports.sources.base import Columns, RawReport, Source, files_below, open_lines, read_bytes
from stages.reports.sources.encodings import decode
from stages.reports.sources.records import missing_columns, report_of_record

_BROKEN = object()


def read_json_lines(path: Path, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read one report a line; a broken line is a row of its own.

    Raises:
        ValueError: if no line has one of the columns.
    """
    names: set[str] = set()
    num_records = 0
    for file in files_below(path):
        for record in _records(file, source.encoding):
            names.update(record if isinstance(record, dict) else ())
            yield report_of_record(num_records, record, columns)
            num_records += 1
    if names and (missing := missing_columns(names, columns)):
        raise ValueError(f"{path}: no line has {missing}, got {len(names)} other keys; set extract_findings.columns")


def _records(file: Path, encoding: str | None) -> Iterator[Any]:
    try:
        lines = open_lines(file)
        first = next((line for line in lines if line.strip()), b"")
        if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            yield from _listed(file, encoding)
            return
        for line in chain([first], lines):
            if line.strip():
                yield _parsed(line, encoding)
    except (OSError, EOFError, zlib.error):
        yield _BROKEN


def _listed(file: Path, encoding: str | None) -> Iterator[Any]:
    records = _parsed(read_bytes(file) or b"", encoding)
    yield from records if isinstance(records, list) else [_BROKEN]


def _parsed(data: bytes, encoding: str | None) -> Any:
    try:
        return json.loads(decode(data, encoding) or "")
    except (ValueError, RecursionError):
        return _BROKEN
