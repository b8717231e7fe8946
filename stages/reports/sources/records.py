"""Reports out of records of named values: JSON objects and rows of Parquet tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stages.reports.sources.base import Columns, RawReport, broken, join_texts, version_of
from stages.reports.sources.encodings import decode, decode_cell


def report_of_record(number: int, record: Any, columns: Columns) -> RawReport:
    """Take a report out of a record; what is not there is empty.

    Args:
        number: number of the record.
        record: names and values; anything else is a broken record.
        columns: names, dotted where a value lies in a record within.
    """
    if not isinstance(record, Mapping):
        return broken(number)

    def word(name: str | None) -> str:
        return (_text(find(record, name)) or "").strip() if name else ""

    return RawReport(
        number,
        word(columns.accession_number),
        join_texts({name: _text(find(record, name)) for name in columns.texts}),
        word(columns.language) or None,
        version=version_of(word(columns.report_status)),
        issued=word(columns.report_time),
        report_id=word(columns.report_id),
        names=tuple(filter(None, map(word, columns.names))),
    )


def find(record: Mapping[str, Any], name: str) -> Any:
    """The value under a name, or under the steps of a dotted one; ``None`` if there is none."""
    if name in record:
        return record[name]
    value: Any = record
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def missing_columns(names: Iterable[str], columns: Columns) -> list[str]:
    """Columns of which not even the first step is among the names."""
    there = set(names)
    return [name for name in columns.needed if name not in there and name.split(".")[0] not in there]


def _text(value: Any) -> str | None:
    """A value as text: whole numbers without a point, lists by lines; ``None`` if its encoding is broken."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        lines = [_text(one) for one in value]
        return None if None in lines else "\n".join(map(str, lines))
    if isinstance(value, Mapping):
        return ""
    return decode_cell(str(value))
