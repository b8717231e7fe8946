"""Reports out of an export in any format that is known; the format is told by the content, not by the name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source
from stages.reports.sources.csv_file import has_header, read_csv
from stages.reports.sources.fhir import read_fhir
from stages.reports.sources.files import READ_ERRORS, Export, open_binary
from stages.reports.sources.hl7 import read_hl7
from stages.reports.sources.json_lines import read_json_lines
from stages.reports.sources.parquet import read_parquet
from stages.reports.sources.text_folder import read_text_folder

READERS: dict[str, Callable[[Export, Columns, Source], Iterator[RawReport]]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "json_lines": read_json_lines,
    "text_folder": read_text_folder,
    "hl7": read_hl7,
    "fhir": read_fhir,
}
_HEAD_BYTES = 1 << 16
_CSV_NAME = re.compile(r"\.(?:csv|tsv)(?:\.gz)?$", re.IGNORECASE)
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
    export = Export.of(path)
    if not export.files:
        raise FileNotFoundError(f"{path}: no report file; set cohort.reports in params.yaml")
    name = format_of(export, columns, source) if source.format == "auto" else source.format
    return READERS[name](export, columns, source)


def format_of(export: Export, columns: Columns, source: Source) -> str:
    """Tell the format of an export by the first of its files that holds anything.

    A file that shows no format is CSV. A folder of such files is one of CSV files if the first is called
    so, or begins with the columns, else one of texts.
    """
    heads = ((file, _head(file)) for file in (*export.tables, *export.files))
    file, head = next((pair for pair in heads if pair[1]), (export.path, b""))
    bare = head.lstrip(b"\xef\xbb\xbf\x0b\r\n\t ")
    if bare.startswith(b"PAR1"):
        return "parquet"
    if bare.startswith(_HL7_STARTS) and not bare[3:4].isalnum():
        return "hl7"
    if bare.startswith((b"{", b"[")) and not bare.startswith(b"{\\rtf"):
        return "fhir" if _is_fhir(bare) else "json_lines"
    is_table = not export.path.is_dir() or _CSV_NAME.search(file.name) or has_header(head, columns, source)
    return "csv" if is_table else "text_folder"


def _head(file: Path) -> bytes:
    try:
        with open_binary(file) as opened:
            return opened.read(_HEAD_BYTES)
    except READ_ERRORS:
        return b""


def _is_fhir(head: bytes) -> bool:
    """Whether JSON speaks of resources: its first object has a resource type among its keys."""
    try:
        first, _ = json.JSONDecoder().raw_decode(head.decode("utf-8", errors="ignore"))
    except ValueError:
        return b'"resourceType"' in head
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, dict) and "resourceType" in first
