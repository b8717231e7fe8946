"""Values of HL7 v2 segments: components, unescaped text, attachments, and the persons that they name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from stages.reports.sources.markup import attached_text

# Fields that tell persons, by segment: names (XPN), numbers and dates (CX, TS, XTN), staff (XCN, NDL).
_NAMES = {"PID": (5, 6, 9), "NK1": (2,), "GT1": (3,)}
_NUMBERS = {"PID": (2, 3, 4, 7, 13, 14, 18, 19, 20), "NK1": (5, 6), "PV1": (19,)}
_STAFF = {"PV1": (7, 8, 9, 17), "ORC": (10, 11, 12, 19), "OBR": (10, 16, 28, 32, 33, 34, 35), "OBX": (16,)}
_BREAKS = {"br": "\n", "sp": "\n", "ce": "\n", "sk": " ", "in": "", "ti": "", "fi": "", "nf": ""}
_MAX_REPEATS = 8


@dataclass(frozen=True)
class Fields:
    """Reads fields of the segments of one message.

    Attributes:
        separators: of segments, fields, repetitions, components and sub-components.
        escape: the escape character.
        encoding: of bytes that are escaped as hexadecimal digits.
        attached: encodings to be tried on attachments; ``None``: told apart.
    """

    separators: str
    escape: str
    encoding: str
    attached: tuple[str | None, ...] = (None,)

    def value(self, segment: Sequence, number: int, component: int = 1, part: int = 1) -> str:
        """A sub-component of the first repetition of a field; empty if it is not there."""
        if number >= len(segment):
            return ""
        parts = self._parts(str(segment[number][0])) if len(segment[number]) else []
        inner = parts[component - 1].split(self.separators[4]) if component <= len(parts) else []
        return self._unescape(inner[part - 1]).strip() if part <= len(inner) else ""

    def text(self, segment: Sequence, number: int) -> str:
        """The text of a field, each repetition a line of its own."""
        if number >= len(segment):
            return ""
        return "\n".join(self._unescape(str(repetition)) for repetition in segment[number])

    def attachment(self, segment: Sequence, number: int) -> str | None:
        """The text of encapsulated data (ED); ``None`` if it cannot be read, ``FOREIGN`` if not decoded."""
        encoding, data = self.value(segment, number, 4).lower(), self.value(segment, number, 5)
        try:
            if encoding == "base64":
                return attached_text(base64.b64decode(re.sub(r"\s", "", data), validate=True), *self.attached)
            if encoding == "hex":
                return attached_text(bytes.fromhex(data), *self.attached)
        except (binascii.Error, ValueError):
            return None
        return data or None

    def persons(self, segment: Sequence) -> Iterator[str]:
        """Names and numbers of the persons that a segment tells, names in the parts of DICOM (``Family^Given``)."""
        name = str(segment[0])
        for number in _NUMBERS.get(name, ()):
            for parts in self._repetitions(segment, number):
                yield from parts[:1]
        for number in _NAMES.get(name, ()):
            for parts in self._repetitions(segment, number):
                yield "^".join(part.replace(self.separators[4], " ") for part in parts[:3]).strip("^")
        for number in _STAFF.get(name, ()):
            for parts in self._repetitions(segment, number):
                whole = parts[0].split(self.separators[4]) if self.separators[4] in parts[0] else parts
                yield whole[0]
                yield "^".join(whole[1:4]).strip("^")

    def _repetitions(self, segment: Sequence, number: int) -> Iterator[list[str]]:
        if number < len(segment):
            for repetition in segment[number]:
                yield [self._unescape(part) for part in self._parts(str(repetition))]

    def _parts(self, value: str) -> list[str]:
        return value.split(self.separators[3])

    def _unescape(self, value: str) -> str:
        if self.escape not in value:
            return value
        return self._escapes.sub(self._meaning, value)

    @cached_property
    def _escapes(self) -> re.Pattern[str]:
        mark = re.escape(self.escape)
        return re.compile(
            rf"(?P<bytes>(?:{mark}X(?:[0-9A-Fa-f]{{2}})+{mark})+)|"
            rf"{mark}(?:\.(?P<break>{'|'.join(_BREAKS)})[+ ]?(?P<count>-?\d*)|(?P<code>[FSTRE])|[HN]|[CMZ]\w*){mark}"
        )

    def _meaning(self, match: re.Match[str]) -> str:
        if match["bytes"]:
            digits = re.sub(rf"{re.escape(self.escape)}X?", "", match["bytes"])
            return bytes.fromhex(digits).decode(self.encoding, errors="ignore")
        if match["break"]:
            return _BREAKS[match["break"]] * min(int(match["count"] or 1), _MAX_REPEATS)
        separators = dict(zip("FRSTE", (*self.separators[1:5], self.escape), strict=True))
        return separators.get(match["code"] or "", "")
