"""Words of reports as numbers, for decoders that write reports.

Shape suffixes: B texts, L tokens.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

PADDING, BEGIN, END, UNKNOWN = range(4)
NUM_SPECIAL = 4

# Numbers with decimals, Han characters one by one, words with their hyphens and digits ("T2-weighted"), punctuation.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"\d+(?:\.\d+)?(?!\w)|[{_HAN}]|[^\W{_HAN}]+(?:[-'’][^\W{_HAN}]+)*|[^\w\s]")
_SENTENCE_ENDS = frozenset(".!?。！？；")
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%。，；：！？、）")
_NO_SPACE_AFTER = frozenset("([{（/")
_UNSPACED = re.compile(rf"[{_HAN}。，；：！？、（）]")


class Vocabulary:
    """Words, numbers and punctuation of training reports, regardless of case; 0 to 3 are special.

    0 is padding, 1 begins a text, 2 ends it, 3 stands for every word that is not known. A known word
    is written as reports mostly write it if that is in capitals ("FLAIR", "T2"), in small letters otherwise.

    Attributes:
        words: known words as they are written; the first has number 4.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word.lower(): NUM_SPECIAL + place for place, word in enumerate(self.words)}
        if len(self._numbers) != len(self.words):
            raise ValueError(
                f"vocabulary: {len(self.words)} words, expected each once, got {len(self._numbers)} that differ by "
                "more than their case; make it by Vocabulary.build"
            )

    @classmethod
    def build(cls, texts: Iterable[str], min_count: int, owners: Iterable[str] | None = None) -> Vocabulary:
        """Collect the words of texts, the most frequent first, then by alphabet.

        Args:
            texts: training reports; what no training report holds must not be known.
            min_count: rarer words stay unknown.
            owners: patient of each text; words of fewer patients than ``min_count`` then stay unknown, however
                often they write them. None counts words.
        """
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        owners_of: dict[str, set[str]] = defaultdict(set)
        for text, owner in zip(texts, owners or repeat(""), strict=owners is not None):
            for token in split_words(text):
                spellings[token.lower()][token] += 1
                owners_of[token.lower()].add(owner)
        counts = {word: counter.total() for word, counter in spellings.items()}
        decisive = counts if owners is None else {word: len(own) for word, own in owners_of.items()}
        known = sorted((word for word in counts if decisive[word] >= min_count), key=lambda word: (-counts[word], word))
        return cls([_written(word, spellings[word]) for word in known])

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Vocabulary:
        """Make again what ``to_json`` described."""
        return cls(content["words"])

    def to_json(self) -> dict[str, Any]:
        """Describe it in what JSON can hold. It holds words of reports: nothing to publish of a real cohort."""
        return {"words": list(self.words)}

    def __len__(self) -> int:
        """Numbers that a token may be, the special ones included."""
        return NUM_SPECIAL + len(self.words)

    def encode(self, texts: Sequence[str], max_tokens: int) -> np.ndarray:
        """Number the words of texts: 1, the words, 2, then 0 to the length of the longest.

        A text that does not fit is cut off, and then nothing says that it ends.

        Args:
            texts: reports.
            max_tokens: longest sequence, the special tokens included.

        Returns:
            Tokens, int64. Shape (B, L) with L at most ``max_tokens``.
        """
        rows = [
            [BEGIN, *(self._numbers.get(token.lower(), UNKNOWN) for token in split_words(text)), END][:max_tokens]
            for text in texts
        ]
        token_BL = np.full((len(rows), max(map(len, rows), default=0)), PADDING, dtype=np.int64)
        for row, tokens in enumerate(rows):
            token_BL[row, : len(tokens)] = tokens
        return token_BL

    def decode(self, token_BL: np.ndarray) -> list[str]:
        """Write tokens as text up to the end that they name, a sentence a line; unknown words are left out."""
        return [_write([self.words[token - NUM_SPECIAL] for token in _inside(tokens)]) for tokens in token_BL.tolist()]


def split_words(text: str) -> list[str]:
    """Split a text into words, numbers and punctuation, as they are written."""
    return _TOKEN.findall(text)


def _written(word: str, spellings: Counter[str]) -> str:
    """The most frequent spelling if more than a first capital sets it apart, else small letters."""
    spelling = min(spellings, key=lambda one: (-spellings[one], one))
    is_apart = spelling[1:] != spelling[1:].lower() or any(letter.isdigit() for letter in spelling)
    return spelling if is_apart else word


def _inside(tokens: list[int]) -> list[int]:
    """Known words before the first end."""
    stop = tokens.index(END) if END in tokens else len(tokens)
    return [token for token in tokens[:stop] if token >= NUM_SPECIAL]


def _write(words: list[str]) -> str:
    text, is_start, last = "", True, ""
    for word in words:
        is_joined = word in _NO_SPACE_BEFORE or last in _NO_SPACE_AFTER or word == "/"
        is_joined |= bool(_UNSPACED.fullmatch(word) and _UNSPACED.fullmatch(last))
        if is_start and word not in _NO_SPACE_BEFORE:
            text += ("\n" if text else "") + word[:1].upper() + word[1:]
            is_start = False
        else:
            text += word if is_joined else f" {word}"
        is_start = is_start or word in _SENTENCE_ENDS
        last = word
    return text.strip()
