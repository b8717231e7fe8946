"""Bytes of unknown encoding to text: UTF-8, UTF-16 and GB18030 are told apart; others have to be named."""

from __future__ import annotations

import re

# What a Chinese report in GB18030 decodes to; anything else was another encoding.
_CHINESE_TEXT = re.compile(
    r"[\x09\x0a\x0d\x20-\x7e\u00b0\u00b1\u00b7\u00d7\u0370-\u03ff\u2010-\u2033\u2103\u2160-\u217f\u2190-\u22ff"
    r"\u2460-\u249b\u25a0-\u25ff\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]*"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")


def encoding_of(head: bytes) -> str:
    """Name the encoding of a file by its first bytes: UTF-16 with or without a mark, else UTF-8."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head[1:200:2].count(0) > len(head[1:200:2]) // 2:
        return "utf-16-le"
    return "utf-16-be" if head[:200:2].count(0) > len(head[:200:2]) // 2 else "utf-8-sig"


def decode(data: bytes, encoding: str | None = None) -> str | None:
    """Decode a whole file or value; ``None`` if it is in no encoding that is told apart, or not in the one named."""
    if encoding is not None:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            return None
        return None if _CONTROL.search(text) else text
    found = encoding_of(data[:4096])
    errors = "replace" if found.startswith("utf-16") else "surrogateescape"
    return decode_cell(data.decode(found, errors=errors))


def decode_cell(cell: str) -> str | None:
    """Decode text that was read as UTF-8 with its foreign bytes escaped."""
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
