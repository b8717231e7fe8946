"""Sentences, tokens and lexicon phrases of a section, by spaCy."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import spacy
from scispacy.abbreviation import AbbreviationDetector
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc

from stages.reports.lexicon import Lexicon
from stages.reports.vocabulary import Entry, Vocabulary, plain

_UNUSED_COMPONENTS = [
    *("tok2vec", "transformer", "tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer", "ner"),
]
# Text without full stops is cut here, so that no report takes more than linear time.
_MAX_TOKENS = 200
_SENTENCE_ENDS = {".", "!", ";", "。"}
# A line break ends a sentence after punctuation, before a list item and before a capitalised word.
_PARAGRAPH = re.compile(r"(?<=[.;:!?。；：！？])\s*\n|\n(?=\s*(?:\n|[-•*]|\d+\s*[.)、]|[A-Z][a-z]|[\u4e00-\u9fff]))")


@dataclass(frozen=True)
class Mention:
    """One phrase of the lexicon in a sentence; start and end count tokens of the sentence."""

    kind: str
    values: tuple[str, ...]
    start: int
    end: int
    site: str | None = None
    assertion: str | None = None

    @property
    def value(self) -> str:
        """The only code, or the first."""
        return self.values[0]


@dataclass(frozen=True)
class Sentence:
    """One sentence of a section.

    Attributes:
        text: as it stands in the section.
        start: first code point in the section.
        words: lower-case tokens.
        offsets: first and last code point (exclusive) of each token, in the section.
        mentions: lexicon phrases, by position.
    """

    text: str
    start: int
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    mentions: tuple[Mention, ...] = field(default_factory=tuple)

    def of(self, *kinds: str) -> list[Mention]:
        """The mentions of some kinds, by position."""
        return [mention for kind in kinds for mention in self._by_kind.get(kind, ())]

    def has_cue(self, start: int, end: int) -> bool:
        """Whether a word of negation or doubt begins in a stretch of tokens."""
        cues = self.of("negation_before", "negation_after", "uncertainty_before", "uncertainty_after")
        return any(start <= cue.start < end for cue in cues)

    @cached_property
    def _by_kind(self) -> dict[str, list[Mention]]:
        groups: dict[str, list[Mention]] = {}
        for mention in self.mentions:
            groups.setdefault(mention.kind, []).append(mention)
        return groups


class SentenceReader:
    """Splits the text of one language and finds lexicon phrases in it."""

    def __init__(self, lexicon: Lexicon, language: str, spacy_model: str) -> None:
        self._nlp = _pipeline(language, spacy_model)
        tokenizer = self._nlp.tokenizer
        if isinstance(tokenizer, Tokenizer):  # the Chinese one splits characters and knows no exceptions
            for abbreviation in lexicon.languages[language]["abbreviations"]:
                tokenizer.add_special_case(abbreviation, [{"ORTH": abbreviation}])
        self._vocabulary = Vocabulary(lexicon, language, self._nlp)
        self._abbreviations = AbbreviationDetector(self._nlp) if language == "en" else None

    def read(self, text: str, known: dict[str, list[Entry]] | None = None) -> Iterator[Sentence]:
        """Yield the sentences of a section.

        Args:
            text: the section.
            known: abbreviations that the report has introduced, with their meanings; new ones are added.
        """
        known = {} if known is None else known
        levelled = plain(text)
        start = 0
        for match in [*_PARAGRAPH.finditer(text), None]:
            end = len(text) if match is None else match.start()
            yield from self._read_paragraph(text, levelled[start:end], start, known)
            start = end

    def _read_paragraph(
        self, text: str, levelled: str, shift: int, known: dict[str, list[Entry]]
    ) -> Iterator[Sentence]:
        tokens = [token for token in self._nlp.make_doc(levelled) if not token.is_space]
        if not tokens:
            return
        offsets = [(shift + token.idx, shift + token.idx + len(token)) for token in tokens]
        doc = Doc(self._nlp.vocab, words=[token.text for token in tokens])
        matches = self._vocabulary.find(doc)
        if self._abbreviations is not None and "(" in levelled:
            self._learn(doc, matches, known)
        matches += [(i, i + 1, known[t.text]) for i, t in enumerate(doc) if t.text in known]
        for first, last in _sentence_bounds([token.text for token in doc]):
            yield _sentence(text, doc, offsets, matches, first, last)

    def _learn(self, doc: Doc, matches: list[tuple[int, int, list[Entry]]], known: dict[str, list[Entry]]) -> None:
        """Give an abbreviation that the report introduces the meaning of its long form."""
        by_end = {end: entries for _, end, entries in matches}
        taken = {start for start, _, _ in matches}
        assert self._abbreviations is not None
        with warnings.catch_warnings():
            # scispaCy searches once more for abbreviations even where it found none
            warnings.filterwarnings("ignore", message=r"\[W036\]")
            found = self._abbreviations(doc)._.abbreviations
        for short in found:
            long_form = short._.long_form
            if long_form.end in by_end and short.start not in taken and len(short) == 1:
                known.setdefault(short.text, by_end[long_form.end])


def _pipeline(language: str, spacy_model: str) -> Language:
    """Load what splits tokens; the tagger, parser and entity recogniser of the model are left out."""
    if language != "en":
        return spacy.blank(language)
    try:
        return spacy.load(spacy_model, exclude=_UNUSED_COMPONENTS)
    except OSError:
        message = f"spaCy model {spacy_model!r} is not installed; install it or change extract_findings.spacy_model"
        raise ValueError(message) from None


def _sentence_bounds(words: list[str]) -> Iterator[tuple[int, int]]:
    first = 0
    for index, word in enumerate(words):
        is_end = word in _SENTENCE_ENDS and not _is_decimal_point(words, index)
        if is_end or index - first >= _MAX_TOKENS:
            yield first, index + 1
            first = index + 1
    if first < len(words):
        yield first, len(words)


def _is_decimal_point(words: list[str], index: int) -> bool:
    neighbours = words[max(index - 1, 0) : index] + words[index + 1 : index + 2]
    return words[index] == "." and len(neighbours) == 2 and all(word.isdigit() for word in neighbours)


def _sentence(text: str, doc: Doc, offsets: list[tuple[int, int]], matches: list, first: int, last: int) -> Sentence:
    mentions = [
        Mention(entry.kind, entry.values, start - first, end - first, entry.site, entry.assertion)
        for start, end, entries in matches
        if first <= start and end <= last
        for entry in entries
    ]
    begin, finish = offsets[first][0], offsets[last - 1][1]
    return Sentence(
        text[begin:finish],
        begin,
        tuple(token.lower_ for token in doc[first:last]),
        tuple(offsets[first:last]),
        tuple(sorted(mentions, key=lambda mention: (mention.start, mention.end))),
    )
