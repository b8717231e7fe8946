"""Reports out of a CSV file, whatever its encoding; a row that cannot be read costs only itself."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from stages.params import Params

_MAX_FIELD = 1 << 24
# What a Chinese report in GB18030 decodes to; anything else was another encoding.
_CHINESE_TEXT = re.compile(
    r"[\x09\x0a\x0d\x20-\x7e\u00b0\u00b1\u00b7\u00d7\u0370-\u03ff\u2010-\u2033\u2103\u2160-\u217f\u2190-\u22ff"
    r"\u2460-\u249b\u25a0-\u25ff\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]*"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")


class Columns(Params):
    """Names of the CSV columns that hold what is needed."""

    accession_number: str = "accession_number"
    #: one column, or several that are joined as sections under their names
    report_text: str | tuple[str, ...] = "report_text"
    #: optional column
    language: str | None = Field(default="language")

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns."""
        return (self.report_text,) if isinstance(self.report_text, str) else self.report_text


@dataclass(frozen=True)
class RawReport:
    """One row of the input.

    Attributes:
        row: its number, from 0.
        accession_number: as given, without surrounding space.
        text: the report; ``None`` if its encoding is broken.
        language: as given, or ``None``.
    """

    row: int
    accession_number: str
    text: str | None
    language: str | None


def read_csv(path: Path, columns: Columns) -> Iterator[RawReport]:
    """Read reports row by row; UTF-8, UTF-16 and GB18030 are understood, even mixed by row.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no report file; set cohort.reports in params.yaml")
    csv.field_size_limit(_MAX_FIELD)
    encoding = _encoding(path)
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        rows = csv.reader(file)
        places = _places(next(rows, []), columns, path)
        for number, cells in enumerate(rows):
            yield _raw_report(number, cells, places, columns)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head[1:200:2].count(0) > len(head[1:200:2]) // 2:
        return "utf-16-le"
    return "utf-16-be" if head[:200:2].count(0) > len(head[:200:2]) // 2 else "utf-8-sig"


def _places(header: list[str], columns: Columns, path: Path) -> dict[str, int]:
    places = {name.strip(): index for index, name in reversed(list(enumerate(header)))}
    missing = [name for name in (columns.accession_number, *columns.texts) if name not in places]
    if missing:
        raise ValueError(f"{path}: no column {missing}, got {len(header)} others; set extract_findings.columns")
    return places


def _raw_report(number: int, cells: list[str], places: dict[str, int], columns: Columns) -> RawReport:
    def cell(name: str | None) -> str | None:
        index = places.get(name) if name else None
        return _decode(cells[index]) if index is not None and index < len(cells) else ""

    texts = {name: cell(name) for name in columns.texts}
    return RawReport(
        number,
        (cell(columns.accession_number) or "").strip(),
        _join(texts),
        (cell(columns.language) or "").strip() or None,
    )


def _join(texts: dict[str, str | None]) -> str | None:
    if any(text is None for text in texts.values()):
        return None
    filled = {name: text for name, text in texts.items() if text and text.strip()}
    if len(texts) == 1:
        return next(iter(filled.values()), "")
    return "\n".join(f"{name.upper()}: {text}" for name, text in filled.items())


def _decode(cell: str) -> str | None:
    """Decode a cell that was read as UTF-8 with its foreign bytes escaped."""
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return _decode_chinese(cell)
    return None if _CONTROL.search(cell) else cell


def _decode_chinese(cell: str) -> str | None:
    try:
        text = cell.encode("utf-8", errors="surrogateescape").decode("gb18030")
    except UnicodeError:
        return None
    return text if _CHINESE_TEXT.fullmatch(text) else None
