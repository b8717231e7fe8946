"""Plain values of DICOM elements, whatever the writer made of them: a broken one is as good as missing."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterable, Iterator
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName

# pydicom's warnings quote header values, so they must not reach a log.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\..*")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_MAX_REMEMBERED = 20_000
# Longer values are read but not kept; no header says more than this on purpose.
_MAX_REMEMBERED_BYTES = 4096
_MAX_CHARACTERS = 4096
_MAX_VALUES = 1024
# What vendors write by length: short integers, floats, doubles.
_BINARY_FORMS = {2: "<h", 4: "<f", 8: "<d"}
_CHARACTER_SET = Tag(0x0008, 0x0005)
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


class PrivateTag(NamedTuple):
    """A private element; its creator (in capitals) says in which block of the group it lies."""

    group: int
    creator: str
    number: int


class Elements:
    """Values by keyword: of a data set, or of a frame's functional groups, the shared ones and the data set.

    The slices of a series share most of their values, so equal bytes are decoded once.
    """

    _decoded: dict[tuple[Any, ...], Any] = {}
    _tags: dict[str, BaseTag] = {}

    def __init__(self, root: Dataset, *groups: Dataset) -> None:
        self.root = root
        self._layers = [item for group in groups for item in _nested(group)] + [root]

    def value(self, keyword: str) -> Any:
        """Return the first value that is not empty, or None."""
        if keyword not in self._tags:
            self._tags[keyword] = Tag(keyword)
        return self.element(self._tags[keyword])

    def element(self, tag: BaseTag) -> Any:
        """Return the first value of an element, given by its number, that is not empty, or None."""
        return self._first_of(self._layers, tag)

    def _first_of(self, layers: Iterable[Dataset], tag: BaseTag) -> Any:
        for ds in layers:
            try:
                value = self._decode(ds, tag)
            except Exception:  # noqa: BLE001, S112 - a broken element may raise anything
                continue
            if value is not None and value != "" and value != ():
                return value
        return None

    def private(self, tag: PrivateTag) -> Any:
        """Return the first value of a private element that is not empty, or None.

        Archives move blocks of private elements, and some strip the creators: then it is the first block.
        """
        for ds in self._layers:
            block = self._block(ds, tag)
            value = self._first_of((ds,), Tag(tag.group, block << 8 | tag.number))
            if value is not None:
                return value
        return None

    def text(self, keyword: str) -> str:
        """Return the (first) value as text; empty where there is none."""
        value = self.value(keyword)
        if type(value) is str:
            return value
        values = _as_tuple(value)
        return str(values[0]) if values else ""

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return all values as texts, without padding."""
        return tuple(map(str, _as_tuple(self.value(keyword))))

    def number(self, keyword: str) -> float | None:
        """Return the (first) value as a finite number, or None."""
        return as_number(self.value(keyword))

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return all values as numbers; nothing if one of them is none."""
        numbers = [as_number(value) for value in _as_tuple(self.value(keyword))]
        return tuple(number for number in numbers if number is not None) if None not in numbers else ()

    def _block(self, ds: Dataset, tag: PrivateTag) -> int:
        known = ds.keys()
        for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
            number = tag.group << 16 | block
            if number in known and str(self._first_of((ds,), Tag(number))).upper() == tag.creator:
                return block
        return _FIRST_BLOCK

    def _decode(self, ds: Dataset, tag: BaseTag) -> Any:
        raw = ds.get_item(tag)
        if raw is None:
            return None
        if not isinstance(raw, RawDataElement):
            return _plain(raw.value)
        if raw.value is not None and len(raw.value) > _MAX_REMEMBERED_BYTES:
            return _plain(ds[tag].value)
        characters = ds.get_item(_CHARACTER_SET)
        key = (tag, raw.VR, raw.value, raw.is_little_endian, characters and str(characters.value))
        if key not in self._decoded:
            if len(self._decoded) >= _MAX_REMEMBERED:
                self._decoded.clear()
            self._decoded[key] = _plain(ds[tag].value)
        return self._decoded[key]


def as_number(value: Any) -> float | None:
    """Read a finite number from a value, the first of several; None if it is none."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    if type(value) is float and isfinite(value):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def private_number(value: Any) -> float | None:
    """Read a number from a private element, which implicit transfer syntaxes leave as bytes."""
    if isinstance(value, bytes):
        form = _BINARY_FORMS.get(len(value))
        if form and not value.strip(b" \0").isdigit():
            return as_number(struct.unpack(form, value)[0])
        value = value.split(b"\\")[0].strip(b" \0").decode("ascii", "replace")
    return as_number(value)


def _plain(value: Any) -> Any:
    """Turn pydicom's types into Python's; characters that cannot be written become question marks."""
    if isinstance(value, (MultiValue, list)) and not isinstance(value, Sequence):
        return tuple(map(_plain, value[:_MAX_VALUES]))
    if isinstance(value, (str, PersonName)):
        return str(value)[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8").strip("\0 ")
    return float(value) if isinstance(value, (float, Decimal)) else value


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _nested(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _nested(item)
