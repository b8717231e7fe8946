"""Reports out of a CSV file, whatever its encoding; a row that cannot be read costs only itself."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source, broken, join_texts, version_of
from stages.reports.sources.encodings import decode_cell, encoding_of

_MAX_FIELD = 1 << 24
_DELIMITERS = (",", ";", "\t", "|")


def read_csv(path: Path, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read reports row by row; UTF-8, UTF-16 and GB18030 are understood, even mixed by row.

    Raises:
        ValueError: if a column is missing.
    """
    csv.field_size_limit(_MAX_FIELD)
    encoding = source.encoding or _encoding(path)
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        delimiter = source.delimiter or _delimiter(file.readline(), columns)
        file.seek(0)
        rows = _rows(csv.reader(file, delimiter=delimiter))
        header = next(rows, None)
        places = _places(header or [], columns, path)
        for number, cells in enumerate(rows):
            yield broken(number) if cells is None else _raw_report(number, cells, places, columns)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return encoding_of(file.read(4096))


def _delimiter(header: str, columns: Columns) -> str:
    """The delimiter that parts the header into the most of the wanted columns; the comma before others."""

    def num_found(delimiter: str) -> int:
        names = {name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])}
        return len(names.intersection(columns.needed))

    return max(_DELIMITERS, key=num_found)


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """Rows, with ``None`` for one that is none: a quote that is never closed runs on to the limit of a field."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _places(header: list[str], columns: Columns, path: Path) -> dict[str, int]:
    places = {name.strip(): index for index, name in reversed(list(enumerate(header)))}
    missing = [name for name in columns.needed if name not in places]
    if missing:
        raise ValueError(f"{path}: no column {missing}, got {len(header)} others; set extract_findings.columns")
    return places


def _raw_report(number: int, cells: list[str], places: dict[str, int], columns: Columns) -> RawReport:
    def cell(name: str | None) -> str | None:
        index = places.get(name) if name else None
        return decode_cell(cells[index]) if index is not None and index < len(cells) else ""

    def word(name: str | None) -> str:
        return (cell(name) or "").strip()

    return RawReport(
        number,
        word(columns.accession_number),
        join_texts({name: cell(name) for name in columns.texts}),
        word(columns.language) or None,
        version=version_of(word(columns.report_status)),
        issued=word(columns.report_time),
        report_id=word(columns.report_id),
        names=tuple(filter(None, map(word, columns.names))),
    )
