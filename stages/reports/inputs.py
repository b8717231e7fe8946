"""Reports out of an export in any format that is known; the format is told by the content, not by the name."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source, files_below, open_lines
from stages.reports.sources.csv_file import read_csv
from stages.reports.sources.fhir import read_fhir
from stages.reports.sources.hl7 import read_hl7
from stages.reports.sources.json_lines import read_json_lines
from stages.reports.sources.parquet import read_parquet
from stages.reports.sources.text_folder import read_text_folder

READERS: dict[str, Callable[[Path, Columns, Source], Iterator[RawReport]]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "json_lines": read_json_lines,
    "text_folder": read_text_folder,
    "hl7": read_hl7,
    "fhir": read_fhir,
}
_HEAD_BYTES = 1 << 16
_HL7_STARTS = (b"MSH", b"FHS", b"BHS")


def read_reports(path: Path, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read the reports of an export in the order of its files and of the records in them.

    Args:
        path: a file, or a folder of files of one format.
        columns: where a record holds what is needed.
        source: the format and what belongs to it.

    Raises:
        FileNotFoundError: if there is no such file, or the folder is empty.
        ValueError: if a column is missing.
    """
    if not path.exists() or not files_below(path):
        raise FileNotFoundError(f"{path}: no report file; set cohort.reports in params.yaml")
    name = format_of(path) if source.format == "auto" else source.format
    if name == "csv" and path.is_dir():
        raise ValueError(f"{path}: expected one CSV file, got a folder; set cohort.reports to the file")
    return READERS[name](path, columns, source)


def format_of(path: Path) -> str:
    """Tell the format of an export by the first of its files that holds anything.

    A file that shows no format is CSV, a folder of such files one of texts.
    """
    head = next(filter(None, map(_head, files_below(path))), b"")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(_HL7_STARTS) and not head[3:4].isalnum():
        return "hl7"
    if head.startswith((b"{", b"[")) and not head.startswith(b"{\\rtf"):
        return "fhir" if _is_fhir(head) else "json_lines"
    return "text_folder" if path.is_dir() else "csv"


def _head(file: Path) -> bytes:
    try:
        data = b""
        for line in open_lines(file):
            data += line
            if len(data) >= _HEAD_BYTES:
                break
    except (OSError, EOFError, zlib.error):
        return b""
    return data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf\x0b\r\n\t ")


def _is_fhir(head: bytes) -> bool:
    """Whether JSON speaks of resources: its first object has a resource type among its keys."""
    try:
        first, _ = json.JSONDecoder().raw_decode(head.decode("utf-8", errors="ignore"))
    except ValueError:
        return b'"resourceType"' in head
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, dict) and "resourceType" in first
