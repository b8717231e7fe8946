"""Identifiers out of report text: known ones by their keyed hashes, others by their shape.

A hash cannot be reversed, so every token n-gram of the report is hashed and looked up among those of
its study. Rules for a single word that is a name: "White" hides only as a capitalised word that the
lexicon does not continue ("white matter", "White matter" and "WHITE MATTER" stay). Numbers always hide,
longer n-grams ("Mary White") too, unless the lexicon itself says them word after word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stages.artifacts.identity import MAX_NGRAM, SiteKey, Token, is_han, tokenise
from stages.reports.lexicon import Lexicon

MASK = "___"

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_SHAPES = re.compile(
    "|".join(
        (
            r"\b\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b",
            r"\b\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d{2}\b",
            r"(?:19|20)\d{2}\s*年\s*\d{1,2}\s*月(?:\s*\d{1,2}\s*[日号])?",
            r"\d{1,2}\s*月\s*\d{1,2}\s*[日号]",
            rf"\b\d{{1,2}}(?:st|nd|rd|th)?[ -](?:of )?{_MONTH}\.?,?[ -](?:19|20)?\d{{2}}\b",
            rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}\b",
            r"\b[\w.+-]+@[\w-]+\.[\w.]+\b",
            r"(?<![\w.])\+?\d{1,3}[ -]?\(?\d{2,4}\)?[ -]\d{3,4}[ -]\d{3,4}\b",
            r"(?<![\w.])1[3-9]\d{9}(?!\d)",
            r"\b[1-9]\d{5}(?:19|20)\d{9}[\dXx]\b",
            r"(?<![\w.])[A-Za-z]{0,4}\d{6,}\b",
            r"\b\d+(?:\.\d+){4,}\b",
        )
    ),
    re.IGNORECASE,
)
# A title and the name after it; the name begins with a capital.
_TITLED = re.compile(r"\b(?:Dr|Drs|Prof|Mr|Mrs|Ms|Miss)\b\.?(?:[ \t]+(?:[A-Z]\.|[A-Z][\w'’-]+)){1,3}")
_SIGNED = re.compile(r"(?:医师|医生|主任|教授)[:：]\s*[\u4e00-\u9fff]{2,4}")


@dataclass(frozen=True)
class Scrubbed:
    """A text without identifiers, and how many were masked."""

    text: str
    num_masked: int


class Scrubber:
    """Masks identifiers in the reports of a cohort."""

    def __init__(self, key: SiteKey, identifiers: Mapping[str, Mapping[int, frozenset[str]]], lexicon: Lexicon) -> None:
        """Prepare for a cohort.

        Args:
            key: the site key that the identifiers were hashed under.
            identifiers: by study, by length in tokens: hashes of the n-grams to hide.
            lexicon: its words survive.
        """
        self._key = key
        self._identifiers = identifiers
        self._words, self._pairs = _protected(lexicon)

    def scrub(self, study_id: str, text: str) -> Scrubbed:
        """Mask what identifies a person in a text of a study."""
        spans = [match.span() for pattern in (_SHAPES, _TITLED, _SIGNED) for match in pattern.finditer(text)]
        known = self._identifiers.get(study_id)
        if known:
            spans += self._known_spans(text, known)
        merged = _merge(spans)
        pieces, position = [], 0
        for start, end in merged:
            pieces += [text[position:start], MASK]
            position = end
        return Scrubbed("".join([*pieces, text[position:]]), len(merged))

    def _known_spans(self, text: str, known: Mapping[int, frozenset[str]]) -> list[tuple[int, int]]:
        tokens = tokenise(text)
        spans = []
        for length in sorted(known):
            if length > MAX_NGRAM:
                continue
            for index in range(len(tokens) - length + 1):
                window = tokens[index : index + length]
                if self._key.ngram_id([token.text for token in window]) not in known[length]:
                    continue
                if not self._is_ordinary(text, tokens, index, length):
                    spans.append((window[0].start, window[-1].end))
        return spans

    def _is_ordinary(self, text: str, tokens: list[Token], index: int, length: int) -> bool:
        """Whether a match is rather a word of the lexicon than a name."""
        window = tokens[index : index + length]
        words = [token.text for token in window]
        if any(word.isdigit() for word in words):
            return False
        if all(is_han(word) for word in words):
            return "".join(words) in self._words
        if length > 1:
            return all(pair in self._pairs for pair in zip(words, words[1:], strict=False))
        if words[0] not in self._words:
            return False
        if text[window[0].start].islower():
            return True
        before = tokens[index - 1].text if index else ""
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        return (before, words[0]) in self._pairs or (words[0], after) in self._pairs


def _protected(lexicon: Lexicon) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Single words and word pairs of the lexicon's terms; Chinese terms count as words."""
    words: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for term in lexicon.vocabulary():
        tokens = [token.text for token in tokenise(term)]
        words.update(tokens)
        pairs.update(zip(tokens, tokens[1:], strict=False))
        if all(map(is_han, tokens)):
            words.update("".join(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 2, len(tokens) + 1))
    return frozenset(words), frozenset(pairs)


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
