"""Who, where and when: all that a header says of it, to be hashed and searched for in the report.

Identifiers stand in more places than the attributes for them: in the sequences of requests, in comments, in private
elements. What Table E.1-1 of PS3.15 lists is read wherever it stands, person names and private texts as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Literal

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from stages.imaging.characters import readings
from stages.imaging.dicom import Identity
from stages.imaging.elements import Elements
from stages.imaging.free_text import mentions, private_mentions
from stages.imaging.profile import KINDS, Kind

_PATIENT_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
_OTHER_NAMES = (
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "RequestingPhysician",
    "PhysiciansOfRecord",
    "PatientMotherBirthName",
    "ResponsiblePerson",
)
_OTHER_IDS = ("OtherPatientIDs", "AdmissionID")

# A header that holds more, or is nested deeper, was not written by a scanner.
_MAX_TEXTS = 500
_MAX_DEPTH = 8
# Longer private elements hold tables and images.
_MAX_PRIVATE_BYTES = 1024
_MAX_REMEMBERED = 20_000
_PRIVATE_GROUP = 0x10000
_FIRST_PRIVATE_DATA = 0x0100
# Groups of all frames are the same in what matters here, and there can be thousands.
_PER_FRAME = 0x52009230
_BINARY = frozenset({"UN", "OB"})
_PRIVATE_TEXTS = frozenset({"LO", "SH", "LT", "ST", "UT", "UC"}) | _BINARY
# Control characters part the texts in binary data; ESC begins a character set.
_CONTROL = re.compile(rb"[\x00-\x1a\x1c-\x1f\x7f]+")
_ITEM = b"\xfe\xff\x00\xe0"
_CHARACTER_SET = Tag(0x0008, 0x0005)
_DATE = re.compile(r"\d{4}[-.]?\d{1,2}[-.]?\d{1,2}")

Told = tuple[Kind, str]
Element = DataElement | RawDataElement
_known: dict[tuple[Any, ...], tuple[Told, ...]] = {}
# Attributes that were seen to tell nothing; there are no more than the standard has.
_silent: set[tuple[int, str | None]] = set()


def read_identity(root: Elements) -> Identity:
    """Read who, where and when from a header."""
    # First, since reading a value replaces its bytes.
    others = identifying_texts(root.root)
    return Identity(
        study_uid=root.text("StudyInstanceUID"),
        series_uid=root.text("SeriesInstanceUID"),
        accession_number=root.text("AccessionNumber"),
        issuer=root.text("IssuerOfPatientID"),
        patient_id=root.text("PatientID"),
        patient_names=_all_texts(root, _PATIENT_NAMES),
        other_names=_all_texts(root, _OTHER_NAMES),
        other_ids=_all_texts(root, _OTHER_IDS),
        institution=root.text("InstitutionName"),
        birth_date=root.text("PatientBirthDate"),
        study_date=root.text("StudyDate"),
        study_description=root.text("StudyDescription"),
        others=others,
    )


def identifying_texts(ds: Dataset) -> tuple[Told, ...]:
    """Collect what could identify somebody, at any depth.

    Returns:
        Kind and text of each, once, sorted; texts of undeclared character sets in every possible reading.
    """
    return tuple(sorted(set(islice(_walk(ds, 0), _MAX_TEXTS))))


def _walk(ds: Dataset, depth: int) -> Iterator[Told]:
    elements = Elements(ds)
    characters = str(getattr(ds.get_item(_CHARACTER_SET), "value", ""))
    for tag, element in list(ds.items()):
        if (int(tag), element.VR) in _silent:
            continue
        try:
            representation = element.VR or _representation(tag)
            if _is_silent(tag, representation):
                _silent.add((int(tag), element.VR))
                continue
            items = _items(ds, element, representation)
            for item in items if depth < _MAX_DEPTH else []:
                yield from _walk(item, depth + 1)
            if not items:
                yield from _told(elements, element, representation, characters)
        except Exception:  # noqa: BLE001, S112 - a broken element may raise anything, and tells nothing
            continue


def _is_silent(tag: int, representation: str) -> bool:
    return not tag & _PRIVATE_GROUP and tag not in KINDS and representation not in ("SQ", "PN", "UN")


def _items(ds: Dataset, element: Element, representation: str) -> list[Dataset]:
    """Items of a sequence, also of a private one that is not declared as one; nothing for other elements."""
    is_undeclared = representation == "UN" and isinstance(element.value, bytes) and element.value[:4] == _ITEM
    value = ds[element.tag].value if representation == "SQ" or is_undeclared else None
    items = list(value) if isinstance(value, Sequence) else []
    return items[:1] if element.tag == _PER_FRAME else items


def _told(elements: Elements, element: Element, representation: str, characters: str) -> tuple[Told, ...]:
    kind = _kind(element, representation)
    if kind is None:
        return ()
    if not isinstance(element, RawDataElement):
        return tuple(_sort(_texts(elements, element, representation), kind))
    key = (element.tag, representation, element.value, characters)
    if key not in _known:
        if len(_known) >= _MAX_REMEMBERED:
            _known.clear()
        _known[key] = tuple(_sort(_texts(elements, element, representation), kind))
    return _known[key]


def _kind(element: Element, representation: str) -> Kind | Literal["private"] | None:
    """Tell what an element could hold; None where it identifies nobody."""
    if not element.tag & _PRIVATE_GROUP:
        return KINDS.get(element.tag) or ("other_name" if representation == "PN" else None)
    is_creator = (element.tag & 0xFFFF) < _FIRST_PRIVATE_DATA
    if is_creator or len(element.value or "") > _MAX_PRIVATE_BYTES:
        return None
    kinds: dict[str, Kind] = {"PN": "other_name", "DA": "date", "DT": "date"}
    return kinds.get(representation, "private" if representation in _PRIVATE_TEXTS else None)


def _texts(elements: Elements, element: Element, representation: str) -> list[str]:
    """Read an element as declared, and where it holds foreign bytes in every other way that is possible."""
    value = elements.element(element.tag)
    texts = [text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)]
    raw = element.value if isinstance(element, RawDataElement) else value
    if not isinstance(raw, bytes):
        return texts
    stretches = _CONTROL.split(raw) if representation in _BINARY else [raw]
    for stretch in stretches:
        readable = readings(stretch) or ([stretch.decode("ascii")] if representation in _BINARY else [])
        texts += [part for text in readable for part in text.split("\\")]
    return texts


def _sort(texts: Iterable[str], kind: Kind | Literal["private"]) -> Iterator[Told]:
    """Tell of each text what it is."""
    for text in dict.fromkeys(text.strip() for text in texts):
        if kind == "private":
            yield from private_mentions(text)
        elif kind == "text":
            yield from mentions(text)
        elif kind == "date":
            yield from ((kind, match.group()) for match in [_DATE.match(text)] if match)
        elif text:
            yield kind, text


@cache
def _representation(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _all_texts(root: Elements, keywords: tuple[str, ...]) -> tuple[str, ...]:
    texts = (text for keyword in keywords for text in root.texts(keyword))
    return tuple(dict.fromkeys(text for text in texts if text))
