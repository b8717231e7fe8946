"""What a sentence says of one finding, and where that stands in its report."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Any

from stages.reports.placement import Place
from stages.reports.sentences import Mention, Sentence


@dataclass(frozen=True)
class Statement:
    """One statement, still to be linked to its report.

    Attributes:
        place: site and side; empty where the sentence gives none.
        assertion: present, absent or uncertain; why it is none where it only refers to a finding.
        is_description: made of signal words alone, without a named finding.
        is_spots: several spots, or a spot, rather than an area.
        span: first code point in the section and the one after the last.
        course: how the finding has changed since an earlier examination, where the sentence says so.
        earlier_mm: its size at that examination.
        is_shape: called by a word that tells its shape alone ("swelling"), which explains no signal.
        is_anatomy: a denial that only calls anatomy normal ("a normal fourth ventricle").
    """

    finding: str
    place: Place
    assertion: str
    span: tuple[int, int]
    signals: dict[str, str] = field(default_factory=dict)
    size_mm: float | None = None
    is_description: bool = False
    is_spots: bool = False
    course: str | None = None
    earlier_mm: float | None = None
    is_anatomy: bool = False
    is_shape: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether it says that something is, or may be, there."""
        return self.assertion != "absent"


@dataclass(frozen=True)
class Located:
    """A statement and where in its report it stands."""

    statement: Statement
    section: str
    sentence: int
    text: str


def span_of(sentence: Sentence, mention: Mention) -> tuple[int, int]:
    """First code point of a phrase in its section and the one after the last."""
    return sentence.offsets[mention.start][0], sentence.offsets[mention.end - 1][1]


def explains_signal(rules: Any, said: Statement) -> bool:
    """Whether a finding explains the signal described beside it; lost volume, or a shape, does not.

    Args:
        rules: of the finding, from the lexicon.
        said: the statement that names it.
    """
    return bool(rules.get("is_diagnosis")) and not (rules.get("is_diffuse") or said.is_shape)


def settled(sentence: Sentence, statements: list[Statement], vague: Set[str]) -> list[Statement]:
    """Doubt what only describes a finding that is doubted by its name: "小结节，转移瘤待排"."""
    doubted = [(one.finding, one.span) for one in statements if one.assertion == "uncertain"]
    if not doubted or not vague:
        return statements
    doubtful = []
    for one in statements:
        phrase = sentence.text[one.span[0] - sentence.start : one.span[1] - sentence.start]
        is_doubted = any(finding == one.finding and one.span < span for finding, span in doubted)
        is_vague = one.assertion == "present" and is_doubted and phrase in vague
        doubtful.append(replace(one, assertion="uncertain") if is_vague else one)
    return doubtful
