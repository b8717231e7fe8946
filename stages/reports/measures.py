"""Sizes as a sentence states them, in millimetres, and the statement that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from stages.reports.sentences import Sentence
from stages.reports.utterances import Statement
from stages.reports.vocabulary import plain

_MM_PER_UNIT = {
    **dict.fromkeys(("mm", "㎜", "毫米", "millimetre", "millimeter"), 1.0),
    **dict.fromkeys(("cm", "㎝", "厘米", "公分", "centimetre", "centimeter"), 10.0),
}
# Areas and volumes are no lengths.
_UNIT = rf"\s*-?\s*(?P<unit>(?i:{'|'.join(_MM_PER_UNIT)}))s?(?![A-Za-z²³]|[23](?!\d))"
_NUMBER = r"\d{1,3}(?:[.,]\d+)?"
_DIRECTIONS = r"(?:\s*\(?(?:AP|TR|TS|CC|SI|RL|ML)\)?)?"
_PART = re.compile(rf"(?P<number>{_NUMBER})(?:{_UNIT})?")
_ONE = rf"{_NUMBER}(?:{_UNIT.replace('?P<unit>', '?:')})?{_DIRECTIONS}"
_JOIN = r"\s*(?P<join{}>[x×*✕乘]|by|to|[-–—~～至到])\s*"
_SIZE = re.compile(
    rf"(?<![\dA-Za-z])(?<!\d[.,])(?:{_ONE})(?:{_JOIN.format(1)}{_ONE})?(?:{_JOIN.format(2)}{_ONE})?", re.IGNORECASE
)
_HAS_UNIT = re.compile("|".join(("mm", "cm", "㎜", "㎝", "毫米", "厘米", "公分", "metre", "meter")), re.IGNORECASE)
_CLAUSE = r"[^,;:，；：。()（）]{0,16}$"
_EARLIER = re.compile(
    rf"(?:previously|formerly|previous|prior|before|earlier|原(?!发)|前片|前次|上次|旧片|既往|此前){_CLAUSE}", re.I
)
_EARLIER_AFTER = re.compile(
    r"\s*(?:previously|formerly|earlier|on (?:the )?(?:previous|prior)|at (?:the )?(?:previous|prior))", re.I
)
_FROM = re.compile(r"(?:\bfrom|由|从|自)[^\d,;，；]{0,6}$", re.I)
# Of the images, or from one thing to another: no size.
_NO_SIZE = re.compile(
    rf"(?:slices?|sections?|thickness of|gap|interslice|spacing|voxels?|"
    rf"层厚|层距|层间距|间隔|间距|低于|高于|距(?!离)|垂体[^,;，；]{{0,4}}高(?:度|径)?){_CLAUSE}",
    re.I,
)
_NO_SIZE_AFTER = re.compile(
    r"\s*(?:slices?|sections?|slice thickness|thick (?:slices|sections)|"
    r"below|above|inferior to|superior to|away|from|层厚|处)",
    re.I,
)


@dataclass(frozen=True)
class Size:
    """A length and where in the section it stands (code points); earlier: of a former examination."""

    size_mm: float
    start: int
    end: int
    is_earlier: bool = False


def sizes(sentence: Sentence) -> list[Size]:
    """The measured lengths of a sentence; of "3 x 2 cm" and of "3 to 4 mm" the largest."""
    if not _HAS_UNIT.search(sentence.text):
        return []
    return [size for match in _SIZE.finditer(sentence.text) for size in _read(sentence, match)]


def with_sizes(
    sentence: Sentence, statements: list[Statement], is_measurable: Callable[[Statement], bool]
) -> list[Statement]:
    """Give each size to the next statement, or to the one before; of several the largest stays.

    Args:
        sentence: where they stand.
        statements: what the sentence says.
        is_measurable: whether a statement can have a size.
    """
    for size in sizes(sentence):
        able = [s for s in statements if is_measurable(s)]
        target = _borne(sentence, _owner(sentence, size, able), able)
        statements = [_with_size(s, size) if s.span == target else s for s in statements]
    return statements


def _read(sentence: Sentence, match: re.Match[str]) -> Iterator[Size]:
    parts = [(float(part["number"].replace(",", ".")), part["unit"]) for part in _PART.finditer(match.group())]
    units = [unit.lower() for _, unit in parts if unit]
    before, after = sentence.text[: match.start()], sentence.text[match.end() :]
    if not units or _NO_SIZE.search(before) or _NO_SIZE_AFTER.match(after):
        return
    values, factor = [], _MM_PER_UNIT[units[-1]]
    for number, unit in reversed(parts):
        factor = _MM_PER_UNIT[unit.lower()] if unit else factor
        values.append(factor * number)
    start, end = sentence.start + match.start(), sentence.start + match.end()
    joins = {match["join1"], match["join2"]} & {"to", "至", "到"}
    if joins and _FROM.search(before):  # "from 12 to 16 mm"
        yield Size(values[-1], start, end, is_earlier=True)
        yield Size(values[0], start, end)
    else:
        is_earlier = bool(_EARLIER.search(before) or _EARLIER_AFTER.match(after))
        yield Size(max(values), start, end, is_earlier)


def _owner(sentence: Sentence, size: Size, able: Sequence[Statement]) -> tuple[int, int] | None:
    """The span of the statement that a size belongs to."""
    after = min((s.span for s in able if s.span[0] >= size.end), default=None)
    before = max((s.span for s in able if s.span[1] <= size.start), default=None)
    is_after_near = after is not None and (before is None or _is_next(sentence, before, size, after))
    return after if is_after_near else before


def _borne(sentence: Sentence, span: tuple[int, int] | None, able: Sequence[Statement]) -> tuple[int, int] | None:
    """What a finding is said of, if it stands as an adjective: "a 12 mm enhancing mass", "... lesion, a glioma"."""
    if span is None:
        return None
    later = sorted(s.span for s in able if s.span[0] >= span[1])
    nouns = [sentence.offsets[m.start][0] for m in sentence.of("lesions")]
    is_adjective = any(0 <= start - span[1] <= 1 for start in [*nouns, *(s[0] for s in later)])
    return later[0] if later and is_adjective else span


def _with_size(statement: Statement, size: Size) -> Statement:
    if size.is_earlier:
        return replace(statement, earlier_mm=max(size.size_mm, statement.earlier_mm or 0.0))
    return replace(statement, size_mm=max(size.size_mm, statement.size_mm or 0.0))


def _is_next(sentence: Sentence, before: tuple[int, int], size: Size, after: tuple[int, int]) -> bool:
    """Whether a size belongs to the statement after it ("6 mm shift") rather than the one before."""
    gap = plain(sentence.text[size.end - sentence.start : after[0] - sentence.start])
    return "," not in gap and after[0] - size.end <= size.start - before[1]
