"""Bytes of unknown encoding to text: UTF-8, UTF-16 and GB18030 are told apart; others have to be named."""

from __future__ import annotations

import re

# What a Chinese report in GB18030 decodes to; anything else was another encoding.
_CHINESE_TEXT = re.compile(
    r"[\x09-\x0d\x20-\x7e\u00b0\u00b1\u00b7\u00d7\u0370-\u03ff\u2010-\u2033\u2103\u2160-\u217f\u2190-\u22ff"
    r"\u2460-\u249b\u25a0-\u25ff\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]*"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_STRETCH = re.compile(rf"{_HAN}+")
_TOUCHING = re.compile(rf"(?<=[A-Za-z]){_HAN}|{_HAN}(?=[A-Za-z])")
_WITHIN = re.compile(rf"(?<=[a-z]){_HAN}(?=[a-z])")


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
        except (UnicodeError, LookupError):
            return None
        return text if is_clean(text) else None
    found = encoding_of(data[:4096])
    errors = "replace" if found.startswith("utf-16") else "surrogateescape"
    return decode_cell(data.decode(found, errors=errors))


def decode_document(data: bytes, encoding: str | None = None) -> str:
    """Decode what holds many texts; where it cannot be decoded, each of them is to be judged for itself.

    Returns:
        The document as UTF-8, in the encoding named, or as GB18030; in place of foreign bytes U+FFFD, or
        escapes that ``decode_cell`` takes if no encoding is named.
    """
    found = encoding_of(data[:4096])
    if found.startswith("utf-16"):
        return data.decode(found, errors="replace")
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if _is_unicode(text):
        return text
    return data.decode(encoding, errors="replace") if encoding else _decode_chinese(text) or text


def is_clean(text: str) -> bool:
    """Whether a text holds no character that tells of a broken encoding."""
    return _CONTROL.search(text) is None


def decode_cell(cell: str) -> str | None:
    """Decode text that was read as UTF-8 with its foreign bytes escaped."""
    if not _is_unicode(cell):
        return _decode_chinese(cell)
    return cell if is_clean(cell) else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _decode_chinese(cell: str) -> str | None:
    try:
        text = cell.encode("utf-8", errors="surrogateescape").decode("gb18030")
    except UnicodeError:
        return None
    return text if _CHINESE_TEXT.fullmatch(text) and not _is_latin(text) else None


def _is_latin(text: str) -> bool:
    """Whether text in a Latin character set was taken for Chinese ("Müller" is read as "M黮ler").

    There a letter with an accent and the letter after it make one character, which touches the rest of the
    word and stands alone, as most characters of Chinese do not. Its second byte is a letter; those of
    simplified Chinese have no such byte. Two letters with accents make any character, within a word of small
    letters.
    """
    stretches = _STRETCH.findall(text)
    num_han, num_alone = sum(map(len, stretches)), sum(len(one) == 1 for one in stretches)
    if any(map(_ends_in_letter, _TOUCHING.findall(text))):
        return 2 * num_alone >= num_han or all(map(_ends_in_letter, "".join(stretches)))
    num_latin = len(re.findall("[A-Za-z]", text))
    return 3 * num_han <= num_latin and _WITHIN.search(text) is not None


def _ends_in_letter(character: str) -> bool:
    return character.encode("gb18030")[1:2].isalpha()
