"""Texts behind the bytes of a header, where the character set is missing or wrong.

A scanner that writes Chinese names and declares no character set is common. Which set it was cannot be told
from a few bytes, so every reading that is possible counts; a wrong one is a hash that nothing meets.
"""

from __future__ import annotations

import re

# As in DICOM (PS3.3 C.12.1.1.2), and what exports hold without saying so. Latin-1 reads any bytes.
_ENCODINGS = ("utf-8", "gb18030", "big5", "euc_kr", "shift_jis", "latin-1")
_ISO_2022_ENCODINGS = ("iso2022_jp_2", "iso2022_kr")
_ESCAPE = re.compile(rb"\x1b[\x20-\x2f]+[\x30-\x7e]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufffd]")


def readings(value: bytes) -> tuple[str, ...]:
    """Decode bytes in every character set that they are well-formed in.

    Returns:
        Texts without padding, each once; none if all bytes are ASCII, whose reading is not in doubt.
    """
    if value.isascii() and b"\x1b" not in value:
        return ()
    found = [_decode(value, encoding) for encoding in _ISO_2022_ENCODINGS] if b"\x1b" in value else []
    plain = _ESCAPE.sub(b"", value)
    found += [_decode(plain, encoding) for encoding in _ENCODINGS]
    return tuple(dict.fromkeys(text for text in found if text))


def _decode(value: bytes, encoding: str) -> str | None:
    try:
        text = value.decode(encoding).strip("\0 \r\n")
    except UnicodeError:
        return None
    return None if _CONTROL.search(text) else text
