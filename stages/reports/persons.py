"""Names and numbers that come with a report, as the hashed n-grams that its text is searched for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from stages.artifacts.identity import MAX_NGRAM, SiteKey, is_han, tokenise

_MIN_LETTERS = 3
_MIN_DIGITS = 4
_HAN_NGRAMS = range(2, 5)
_TITLES = frozenset(
    {"dr", "prof", "professor", "mr", "mrs", "ms", "miss", "jr", "sr", "md", "phd", "do", "von", "van", "der", "de"}
)
_DATE = re.compile(r"(?:19|20)\d{2}[-/.]?\d{2}[-/.]?\d{2}(?!\d)")


def with_persons(
    known: Mapping[int, frozenset[str]], names: Iterable[str], key: SiteKey
) -> Mapping[int, frozenset[str]]:
    """Add the names and numbers that came with a report to the identifiers of its study.

    Args:
        known: hashes of the n-grams to mask, by length in tokens.
        names: names (``Family^Given`` or in the order of speech), numbers and dates.
        key: the site key that the hashes are made under.
    """
    found: dict[int, set[str]] = defaultdict(set, {length: set(hashes) for length, hashes in known.items()})
    for name in names:
        for ngram in person_ngrams(name):
            found[len(ngram)].add(key.ngram_id(list(ngram)))
    return {length: frozenset(hashes) for length, hashes in found.items()}


def person_ngrams(name: str) -> set[tuple[str, ...]]:
    """Cut a name or number: whole in both orders, each longer part, Han 2- to 4-grams, long numbers, dates."""
    parts = [[t.text for t in tokenise(part) if t.text not in _TITLES] for part in re.split(r"[\^,]", name)]
    parts = [part for part in parts if part]
    ngrams = {tuple(word for part in order for word in part) for order in (parts, parts[::-1])}
    ngrams |= {tuple(part) for part in parts} | {(word,) for part in parts for word in part}
    ngrams |= set(_ends(parts)) | set(_dates(name))
    for ngram in tuple(ngrams):
        ngrams |= set(_han_ngrams(ngram))
    return {ngram for ngram in ngrams if 0 < len(ngram) <= MAX_NGRAM and _is_telling(ngram)}


def _ends(parts: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """First and last word in both orders, without the names between them."""
    words = [word for part in parts for word in part]
    if len(words) > 2:
        yield words[0], words[-1]
        yield words[-1], words[0]
        yield words[0], words[1]
        yield words[1], words[0]


def _dates(name: str) -> Iterator[tuple[str, ...]]:
    for match in _DATE.finditer(name):
        digits = re.sub(r"\D", "", match.group())
        yield (digits,)
        yield digits[:4], digits[4:6], digits[6:]


def _han_ngrams(tokens: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for length in _HAN_NGRAMS:
        for start in range(len(tokens) - length + 1):
            window = tokens[start : start + length]
            if all(map(is_han, window)):
                yield window


def _is_telling(ngram: tuple[str, ...]) -> bool:
    if all(map(is_han, ngram)):
        return len(ngram) >= 2
    if len(ngram) > 1:
        return len("".join(ngram)) > _MIN_LETTERS
    return len(ngram[0]) >= (_MIN_DIGITS if ngram[0].isdigit() else _MIN_LETTERS)
