"""Reports out of CSV files, whatever their encoding; a row that cannot be read costs only itself."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source, broken, join_texts, version_of
from stages.reports.sources.csv_rows import Rows
from stages.reports.sources.encodings import decode_cell, encoding_of
from stages.reports.sources.files import READ_ERRORS, Export, open_binary

_MAX_FIELD = 1 << 24
_DELIMITERS = (",", ";", "\t", "|")


def read_csv(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read reports row by row; UTF-8, UTF-16 and GB18030 are understood, even mixed by row.

    Raises:
        ValueError: if a column is missing.
    """
    csv.field_size_limit(_MAX_FIELD)
    number = 0
    for file in export.tables:
        places: dict[str, int] = {}
        for cells in _records(export, file, places, columns, source):
            yield broken(number) if cells is None else _raw_report(number, cells, places, columns)
            number += 1


def has_header(head: bytes, columns: Columns, source: Source) -> bool:
    """Whether a file that begins so is a table: its first line names all columns that are needed."""
    line = head.decode(source.encoding or encoding_of(head[:4096]), errors="replace").partition("\n")[0]
    delimiter = source.delimiter or _delimiter(line, columns)
    return set(columns.needed) <= _names(line, delimiter)


def _records(
    export: Export, file: Path, places: dict[str, int], columns: Columns, source: Source
) -> Iterator[list[str] | None]:
    """Cells of the records of a file, whose header fills in the places of the columns; ``None`` for a broken one.

    A part that is empty holds none; a file that is the whole export has to have its header.
    """
    try:
        with open_binary(file) as raw:
            head = raw.read(4096)
            raw.seek(0)
            if not head and file != export.path:
                return
            encoding = source.encoding or encoding_of(head)
            with io.TextIOWrapper(raw, encoding=encoding, errors=_errors(encoding), newline="") as lines:
                delimiter = source.delimiter or _delimiter(lines.readline(), columns)
                lines.seek(0)
                rows = Rows(lines, delimiter)
                places |= _places(rows.header, columns, file)
                yield from rows.records(places[columns.accession_number])
    except READ_ERRORS:
        yield None


def _errors(encoding: str) -> str:
    """What becomes of foreign bytes: beside UTF-8 they may be GB18030, which is told cell by cell."""
    return "surrogateescape" if codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"} else "replace"


def _delimiter(header: str, columns: Columns) -> str:
    """The delimiter that parts the header into the most of the wanted columns; the comma before others."""
    return max(_DELIMITERS, key=lambda one: len(_names(header, one).intersection(columns.needed)))


def _names(header: str, delimiter: str) -> set[str]:
    return {name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])}


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
