"""Reports out of a folder of text, HTML, RTF or PDF files, one a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source, broken
from stages.reports.sources.encodings import decode_cell
from stages.reports.sources.files import Export, TooLargeError, read_bytes
from stages.reports.sources.markup import is_opaque, text_of


def read_text_folder(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read one report a file; its path below the folder holds the accession number (``accession_pattern``)."""
    pattern = re.compile(source.accession_pattern)
    root = export.path if export.path.is_dir() else export.path.parent
    for number, file in enumerate(export.files):
        match = pattern.search("/".join(map(_name, file.relative_to(root).parts)))
        accession_number = (match["accession"] or "").strip() if match else ""
        data = _bytes(file)
        if data is None:
            yield broken(number, accession_number=accession_number)
        elif not data.strip():
            yield RawReport(number, accession_number, "", None)
        else:
            text = text_of(data, source.encoding)
            problem = "unreadable" if text is None and is_opaque(data) else None
            yield RawReport(number, accession_number, text, None, problem=problem)


def _bytes(file: Path) -> bytes | None:
    try:
        return read_bytes(file)
    except TooLargeError:
        return None


def _name(part: str) -> str:
    """A name of a file or folder as text: UTF-8, else GB18030, else with its foreign bytes written out."""
    text = decode_cell(part)
    return os.fsencode(part).decode("utf-8", errors="backslashreplace") if text is None else text
