"""Values of JSON files: one a line, or one a file; a line that is none costs itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from stages.reports.sources.encodings import decode_cell, decode_document
from stages.reports.sources.files import READ_ERRORS, open_lines, read_bytes

#: What stands for a line or file that is no JSON.
BROKEN = object()

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_values(file: Path, encoding: str | None) -> Iterator[Any]:
    """Read a file line by line if it has one value a line, else whole.

    Args:
        file: also gzip.
        encoding: of what is not UTF-8; ``None``: UTF-16 and GB18030 are told apart.

    Raises:
        TooLargeError: if one value fills more than can be held.
    """
    try:
        lines = open_lines(file)
        filled = (line for line in lines if line.strip())
        head = [line for _, line in zip(range(2), filled, strict=False)]
        if _is_one_a_line(head, encoding):
            for line in chain(head, filled):
                yield parse_json(line, encoding)
            return
    except READ_ERRORS:
        yield BROKEN
        return
    yield from _whole(read_bytes(file) or b"", encoding)


def parse_json(data: bytes | str, encoding: str | None) -> Any:
    """Parse one value; texts in it that cannot be decoded hold U+FFFD."""
    try:
        return _mended(json.loads(data if isinstance(data, str) else decode_document(data, encoding), strict=False))
    except (ValueError, RecursionError):
        return BROKEN


def _is_one_a_line(head: list[bytes], encoding: str | None) -> bool:
    """Whether the first filled line is a value, or opens one that is broken: the line after it is whole."""
    if not head or parse_json(head[0], encoding) is not BROKEN:
        return True
    return head[0].lstrip(b"\xef\xbb\xbf \t").startswith(b"{") and any(
        isinstance(parse_json(line, encoding), dict) for line in head[1:]
    )


def _whole(data: bytes, encoding: str | None) -> Iterator[Any]:
    text = decode_document(data, encoding)
    value = parse_json(text, None)
    if value is not BROKEN:
        yield value
        return
    for line in text.split("\n"):
        if line.strip():
            yield parse_json(line, None)


def _mended(value: Any) -> Any:
    """The value with every text decoded for itself."""
    if isinstance(value, str) and _SURROGATE.search(value):
        text = decode_cell(value)
        return _SURROGATE.sub("\ufffd", value) if text is None else text
    if isinstance(value, list):
        return [_mended(one) for one in value]
    return {_mended(name): _mended(one) for name, one in value.items()} if isinstance(value, dict) else value
