"""Reports out of a folder of text, HTML, RTF or PDF files, one a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stages.reports.sources.base import Columns, RawReport, Source, broken, files_below, read_bytes
from stages.reports.sources.markup import text_of


def read_text_folder(path: Path, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read one report a file; its path below the folder holds the accession number (``accession_pattern``)."""
    pattern = re.compile(source.accession_pattern)
    root = path if path.is_dir() else path.parent
    for number, file in enumerate(files_below(path)):
        match = pattern.search(file.relative_to(root).as_posix())
        accession_number = (match["accession"] or "").strip() if match else ""
        data = read_bytes(file)
        if data is None:
            yield broken(number, accession_number=accession_number)
        elif not data.strip():
            yield RawReport(number, accession_number, "", None)
        else:
            text = text_of(data, source.encoding)
            is_opaque = text is None and data.lstrip().startswith((b"%PDF-", b"{\\rtf"))
            yield RawReport(number, accession_number, text, None, problem="unreadable" if is_opaque else None)
