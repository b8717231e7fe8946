"""Reports out of HL7 v2 ORU messages: one message a file or many, in batches, logs or MLLP frames.

A message may hold several reports (OBR groups), and one report several studies (OBR segments that no
OBX parts). The package ``hl7`` splits messages; escapes are undone here, since the package writes
what it cannot undo into the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.reports.sources.base import Columns, RawReport, Source, broken, version_of
from stages.reports.sources.encodings import decode
from stages.reports.sources.files import MAX_FILE_BYTES, READ_ERRORS, Export, TooLargeError, open_binary
from stages.reports.sources.hl7_fields import Fields
from stages.reports.sources.markup import FOREIGN, plain_text

_START = re.compile(rb"(?:\A|(?<=[\r\n\x0b]))[ \t]*MSH(?=[^\w\s])")
_ENVELOPE = re.compile(rb"[\r\n](?:FHS|BHS|BTS|FTS)(?=[^\w\s])[^\r\n]*")
_CHARSETS = {
    **{"UNICODE UTF-8": "utf-8", "UNICODE": "utf-16", "UNICODE UTF-16": "utf-16", "GB 18030-2000": "gb18030"},
    **{"BIG-5": "big5", "ISO IR87": "iso2022_jp", "KS X 1001": "euc_kr", "GB2312": "gb18030", "GBK": "gb18030"},
    **{f"8859/{number}": f"iso8859_{number}" for number in range(1, 16) if number != 12},
}
# Suffixes of OBX-3 for parts of a report (HL7 v2, chapter 7) and LOINC codes of such parts.
_SECTION_OF = {
    **{"GDT": "FINDINGS", "IMP": "IMPRESSION", "ADT": "ADDENDUM", "REC": "RECOMMENDATION", "HIS": "HISTORY"},
    **{"59776-5": "FINDINGS", "18782-3": "FINDINGS", "19005-8": "IMPRESSION", "55110-1": "IMPRESSION"},
    **{"55107-7": "ADDENDUM", "18783-1": "RECOMMENDATION", "11329-0": "HISTORY", "18785-6": "HISTORY"},
    **{"55111-9": "TECHNIQUE", "18834-2": "COMPARISON"},
}
_BLOCK_BYTES = 1 << 26
_CODED = frozenset({"CE", "CWE", "CNE"})
_ENCAPSULATED = frozenset({"ED", "RP"})
# OBX-11: the observation is deleted, or was sent for the wrong patient.
_WITHDRAWN = frozenset({"D", "W"})
_UNOBTAINABLE = "X"


def read_hl7(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read the reports of all messages of a file or folder; a broken message is a row of its own.

    Raises:
        ValueError: if a message is too large to be held.
    """
    number = 0
    for file in export.files:
        for message in _messages_of(file):
            for report in _reports(message, number, source):
                yield report
                number += 1


def _messages_of(file: Path) -> Iterator[bytes]:
    """The messages of a file that is not held whole; an empty one where it breaks off."""
    try:
        with open_binary(file) as opened:
            held = b""
            while block := opened.read(_BLOCK_BYTES):
                held += block
                starts = [match.start() for match in _START.finditer(held)]
                if len(starts) > 1:
                    yield from _messages(held[: starts[-1]])
                    held = held[starts[-1] :]
                if len(held) > MAX_FILE_BYTES:
                    raise TooLargeError(file)
        yield from _messages(held)
    except READ_ERRORS:
        yield b""


def _messages(data: bytes) -> list[bytes]:
    """The messages of a file, without frames and headers of batches; one empty message if it holds none."""
    starts = [match.start() for match in _START.finditer(data)]
    if not starts:
        return [b""]
    stretches = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    return [_ENVELOPE.sub(b"", stretch).strip(b"\r\n\x0b\x1c \t") for stretch in stretches]


def _reports(message: bytes, number: int, source: Source) -> list[RawReport]:
    import hl7

    encoding = source.encoding or _charset(message)
    text = decode(message, encoding)
    if text is None:
        return [broken(number, "unreadable_encoding")]
    try:
        parsed = hl7.parse(_one_line_a_segment(text))
        attached = (source.encoding,) if source.encoding else ("utf-8-sig", encoding, None)
        fields = Fields("".join(parsed.separators), str(parsed.esc), encoding or "utf-8", attached)
        if fields.value(parsed[0], 9) not in {"ORU", ""}:
            return [broken(number, "not_report")]
        reader = _Message(list(parsed), fields, source)
        return [reader.report(number + count, group) for count, group in enumerate(reader.groups())]
    except Exception:  # noqa: BLE001 - a hostile message may raise anything; it costs one row
        return [broken(number)]


def _charset(message: bytes) -> str | None:
    """The encoding that MSH-18 names; ``None`` if it names none that is known."""
    header = re.split(rb"[\r\n]", message, maxsplit=1)[0]
    fields = header.split(message[3:4]) if message else []
    named = fields[17].split(b"~")[0].strip().decode("ascii", "replace").upper() if len(fields) > 17 else ""
    return _CHARSETS.get(named)


def _one_line_a_segment(text: str) -> str:
    """The message with its segments parted by CR; lines that begin no segment continue the text of the one before."""
    separator, escape = re.escape(text[3:4]), text[6:7] or "\\"
    begins = re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{separator}|\Z)")
    segments: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text):
        if begins.match(line) or not segments:
            segments.append(line)
        else:
            segments[-1] += f"{escape}.br{escape}{line}"
    return "\r".join(segments)


@dataclass
class _Group:
    """One report in the making: its orders (ORC, OBR), observations and notes."""

    orders: list[Any] = field(default_factory=list)
    observations: list[Any] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)

    @property
    def requests(self) -> list[Any]:
        """The OBR segments."""
        return [segment for segment in self.orders if str(segment[0]) == "OBR"]


class _Message:
    """One parsed message."""

    def __init__(self, segments: list[Any], fields: Fields, source: Source) -> None:
        self._segments = segments
        self._fields = fields
        self._accession = [_address(name) for name in source.hl7_accession]
        self._names = tuple(dict.fromkeys(filter(None, (name for one in segments for name in fields.persons(one)))))

    def groups(self) -> list[_Group]:
        """The reports of the message; orders without an observation belong to the report that follows."""
        groups = [_Group()]
        for segment in self._segments:
            name = str(segment[0])
            if name in {"ORC", "OBR", "PID"} and (groups[-1].observations or groups[-1].notes):
                groups.append(_Group())
            if name in {"ORC", "OBR"}:
                groups[-1].orders.append(segment)
            elif name == "OBX":
                groups[-1].observations.append(segment)
            elif name == "NTE" and groups[-1].orders:
                groups[-1].notes.append(segment)
        return groups

    def report(self, number: int, group: _Group) -> RawReport:
        """The report of one group."""
        read = self._fields.value
        accessions = list(dict.fromkeys(filter(None, self._accession_numbers(group))))
        request = group.requests[-1] if group.requests else []
        observations = [one for one in group.observations if read(one, 11) not in _WITHDRAWN]
        text = self._text(observations, group.notes)
        problem = "unreadable" if text is None else "unreadable_encoding" if FOREIGN in text else None
        return RawReport(
            number,
            accessions[0] if accessions else "",
            None if problem else plain_text(text),
            read(self._segments[0], 19) or None,
            version="cancelled" if self._is_withdrawn(group, request, text) else self._version(request, observations),
            issued=read(request, 22) or read(self._segments[0], 7),
            report_id=read(request, 3),
            other_accessions=tuple(accessions[1:]),
            names=self._names,
            problem=problem,
        )

    def _accession_numbers(self, group: _Group) -> Iterator[str]:
        """The accession number of each OBR, from the first of the given fields that is filled."""
        orders = {str(segment[0]): segment for segment in reversed(group.orders)}
        for request in group.requests:
            segments = {**orders, "OBR": request}
            values = (self._fields.value(segments.get(name, []), *address) for name, address in self._accession)
            yield next(filter(None, values), "")

    def _is_withdrawn(self, group: _Group, request: Any, text: str | None) -> bool:
        """Whether no observation stands: all deleted, of a wrong patient, or not to be had."""
        said = {self._fields.value(one, 11) for one in group.observations}
        is_silent = not self._fields.value(request, 25) or not (text or "").strip()
        return bool(said) and is_silent and (said <= _WITHDRAWN or said == {_UNOBTAINABLE})

    def _version(self, request: Any, observations: list[Any]) -> str | None:
        said = {version_of(self._fields.value(one, 11)) for one in observations}
        sections = {self._section(one) for one in observations}
        whole = version_of(self._fields.value(request, 25))
        if whole == "cancelled":
            return whole
        if sections == {"ADDENDUM"}:
            return "addendum"
        if "corrected" in said | {whole}:
            return "corrected"
        return whole or ("preliminary" if "preliminary" in said else "final" if "final" in said else None)

    def _section(self, observation: Any) -> str:
        """Section that OBX-3 names by a suffix, a LOINC code or a word; empty if none."""
        read = self._fields.value
        codes = [read(observation, 3, 1, part) for part in (2, 1)] + [read(observation, 3, part) for part in (2, 5)]
        words = {name.lower(): name for name in _SECTION_OF.values()}
        found = (_SECTION_OF.get(code) or words.get(code.lower().rstrip("s:")) for code in codes)
        return next(filter(None, found), "")

    def _text(self, observations: list[Any], notes: list[Any]) -> str | None:
        """The text of the observations with a header where the section changes; of the notes if there is none."""
        lines: list[str] = []
        section = ""
        for observation in observations:
            value = self._observed(observation)
            if value is None:
                return None
            if (named := self._section(observation)) and named != section:
                section = named
                lines.append(f"{section}:")
            lines.append(value)
        if not any(line.strip() for line in lines):
            lines = [self._fields.text(note, 3) for note in notes]
        return "\n".join(lines)

    def _observed(self, observation: Any) -> str | None:
        kind = self._fields.value(observation, 2)
        if kind in _ENCAPSULATED:
            return self._fields.attachment(observation, 5)
        if kind in _CODED:
            return self._fields.value(observation, 5, 2) or self._fields.value(observation, 5)
        return self._fields.text(observation, 5)


def _address(name: str) -> tuple[str, tuple[int, int]]:
    """Segment, field and component of a name such as ``OBR-3.1``; the first component if it names none."""
    segment, _, place = name.partition("-")
    number, _, component = place.partition(".")
    return segment, (int(number), int(component or 1))
