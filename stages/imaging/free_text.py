"""Identifiers inside the free text of headers: comments, descriptions, private elements.

Most of such a text is what reports say too ("left frontal glioma"), so only what has the form of a name, a number or
a date counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stages.imaging.profile import Kind

_TITLED = re.compile(
    r"\b(?:Dr|Drs|Prof|Mr|Mrs|Ms|Miss|Sr|Sra|Herr|Frau|Mme|M\.D|[Pp]hysician|[Oo]perator|[Nn]ame)\b[.:]*\s+"
    r"((?:[A-Z][\w'’.-]+[ ,]*){1,3})"
)
_CARETS = re.compile(r"[^\W\d_][\w'’.-]*(?:\^+[^\W\d_][\w'’.-]*)+")
_HAN_NAMED = re.compile(
    r"(?:姓名|患者|病人|医师|医生|主任|教授|技师|护士)\s*[:：]\s*([\u3400-\u4dbf\u4e00-\u9fff]{2,4})"
)
_DATE = re.compile(r"(?<!\d)(?:19|20)\d{2}[-./年]?\d{1,2}[-./月]?\d{1,2}(?!\d)")
_NUMBER = re.compile(r"(?<![\w.])[A-Za-z]{0,5}[-_/]?\d[\d-]{3,}\d\b")
# A whole value: two to four capitalised words, or two to four Han characters.
_NAME = re.compile(r"[A-Z][^\W\d_'’-]*(?:['’-][^\W\d_]+)*\.?(?:[ ,]+[A-Z][^\W\d_'’-]*(?:['’-][^\W\d_]+)*\.?){1,3}")
_HAN_NAME = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]{2,4}")
# Two capitalised words that name no person: what scanners write about themselves.
_TECHNICAL = frozenset(
    ["spin", "echo", "gradient", "turbo", "fast", "head", "neck", "brain", "spine", "body", "coil", "matrix", "array"]
    + ["scan", "image", "images", "series", "study", "protocol", "sequence", "axial", "coronal", "sagittal", "oblique"]
    + ["left", "right", "anterior", "posterior", "supine", "prone", "first", "slice", "slices", "phase", "frequency"]
    + ["flow", "comp", "fat", "water", "sat", "saturation", "recon", "filter", "mode", "normal", "original", "primary"]
    + ["siemens", "philips", "general", "electric", "medical", "systems", "healthineers", "healthcare", "imaging"]
    + ["header", "data", "private", "creator", "version", "release", "software", "magnetic", "resonance", "diffusion"]
    + ["white", "matter", "grey", "gray", "tensor", "map", "maps", "derived", "secondary", "magnitude", "contrast"]
)


def mentions(text: str) -> Iterator[tuple[Kind, str]]:
    """Find names after a title, names in the form of DICOM, dates and numbers in a text."""
    for pattern in (_TITLED, _HAN_NAMED):
        yield from (("other_name", match.group(1).strip(" ,")) for match in pattern.finditer(text))
    yield from (("other_name", match.group()) for match in _CARETS.finditer(text))
    yield from (("date", re.sub(r"\D+", "-", match.group())) for match in _DATE.finditer(text))
    yield from (("number", match.group()) for match in _NUMBER.finditer(_DATE.sub(" ", text)))


def private_mentions(text: str) -> Iterator[tuple[Kind, str]]:
    """Find the same in a private element, and take one that is a name as a whole for one."""
    yield from mentions(text)
    whole = text.strip()
    if _HAN_NAME.fullmatch(whole) or (_NAME.fullmatch(whole) and not _is_technical(whole)):
        yield "other_name", whole


def _is_technical(text: str) -> bool:
    return any(word in _TECHNICAL for word in re.findall(r"\w+", text.casefold()))
