"""Identifiers in all the spellings that an encoding, a form or a habit gives them."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

import numpy as np

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "gb18030")

_MIN_BYTES = 4
_MAX_PERMUTED_WORDS = 3
_START_BYTES = 3
_CHUNK_BYTES = 1 << 22
_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%d/%m/%Y", "%d.%m.%Y")
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum())


class Spellings:
    """Many byte strings, searched for at once: time grows with the data, not with their number."""

    def __init__(self, meaning: dict[bytes, str]) -> None:
        """Prepare the search; ``meaning`` tells which needle each spelling stands for."""
        self._meaning = meaning
        self._is_start = np.zeros(1 << 8 * _START_BYTES, dtype=bool)
        self._lengths: dict[bytes, set[int]] = defaultdict(set)
        for spelling in meaning:
            self._is_start[_start_codes(np.frombuffer(spelling[:_START_BYTES], np.uint8))] = True
            self._lengths[spelling[:_START_BYTES]].add(len(spelling))

    def found_in(self, data: bytes) -> set[str]:
        """Return the needles of which a spelling is in the data."""
        found = set()
        values = np.frombuffer(data, np.uint8)
        for first in range(0, len(values), _CHUNK_BYTES):
            codes = _start_codes(values[first : first + _CHUNK_BYTES + _START_BYTES - 1])
            for position in (first + np.flatnonzero(self._is_start[codes])).tolist():
                for length in self._lengths[data[position : position + _START_BYTES]]:
                    found.add(self._meaning.get(data[position : position + length]))
        return found - {None}


class Needles:
    """Identifiers in all their spellings, ready to be searched for in bytes."""

    def __init__(self, needles: Iterable[str]) -> None:
        """Prepare the search.

        Raises:
            ValueError: if a needle is so short that it would be found by chance.
        """
        compact: dict[bytes, str] = {}
        exact: dict[bytes, str] = {}
        for needle in needles:
            for spelling in _spellings(needle):
                if spelling.isascii():
                    compact[_checked(_compact(spelling.encode()), needle)] = needle
                else:
                    variants = (spelling, spelling.lower(), spelling.upper())
                    exact |= {text.encode(encoding): needle for text in variants for encoding in ENCODINGS}
            for spelling in _unpadded_dates(needle):
                exact |= {spelling.encode(encoding): needle for encoding in ENCODINGS}
        self._compact, self._exact = Spellings(compact), Spellings(exact)

        self._found: dict[bytes, set[str]] = {}

    def found_in(self, data: bytes) -> set[str]:
        """Return the needles that bytes hold, in any encoding, case, order of words or punctuation."""
        digest = hashlib.blake2b(data).digest()
        if digest not in self._found:
            # Without punctuation and NULs, ASCII text reads the same in every encoding searched.
            self._found[digest] = self._exact.found_in(data) | self._compact.found_in(_compact(data))
        return self._found[digest]


def _compact(data: bytes) -> bytes:
    return data.lower().translate(None, _PUNCTUATION)


def _checked(compact: bytes, needle: str) -> bytes:
    if len(compact) < _MIN_BYTES:
        raise ValueError(f"needle {needle!r} is found by chance: give at least {_MIN_BYTES} letters or digits")
    return compact


def _start_codes(values: np.ndarray) -> np.ndarray:
    """Number the first bytes of the string that begins at each position, as far as there are enough."""
    num = max(0, len(values) - _START_BYTES + 1)
    codes = np.zeros(num, dtype=np.uint32)
    for offset in range(_START_BYTES):
        codes |= values[offset : offset + num].astype(np.uint32) << 8 * offset
    return codes


def _spellings(needle: str) -> set[str]:
    """Spellings that differ by more than case and punctuation."""
    day = _as_date(needle)
    if day is not None:
        forms = ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%d %B %Y", "%B %d %Y", "%d %b %Y", "%b %d %Y", "%Y年%m月%d日")
        return {needle, f"{day.year}年{day.month}月{day.day}日", *(day.strftime(form) for form in forms)}
    words = re.findall(r"\w+", needle)
    is_name = 1 < len(words) <= _MAX_PERMUTED_WORDS and not needle.replace(".", "").isdigit()
    orders = itertools.permutations(words) if is_name else ()
    return {needle, *("".join(order) if needle.isascii() else " ".join(order) for order in orders)} | (
        set() if needle.isascii() else {"".join(order) for order in (words, words[::-1])}
    )


def _unpadded_dates(needle: str) -> set[str]:
    if (day := _as_date(needle)) is None:
        return set()
    orders = ((day.day, day.month, day.year), (day.month, day.day, day.year), (day.year, day.month, day.day))
    return {mark.join(map(str, order)) for order in orders for mark in "/.-"}


def _as_date(needle: str) -> date | None:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(needle, form).date()
        except ValueError:
            continue
    return None
