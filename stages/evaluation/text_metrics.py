"""How close a text is to another one, word by word: BLEU, ROUGE-L, METEOR and CIDEr of single texts.

All read the words of ``vocabulary.split_words`` without punctuation, regardless of case. BLEU and
METEOR are NLTK's, and the longest common subsequence of ROUGE-L is rapidfuzz's; the usual package of CIDEr brings
Java programs along, so that CIDEr-D (Vedantam et al. 2015) is written down here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from nltk.stem import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz.distance import LCSseq

from stages.pretraining.vocabulary import split_words

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
ROUGE_L, METEOR, CIDER = "rouge_l", "meteor", "cider"
_MAX_LENGTH = 4
# Deviation, in words, of the penalty that CIDEr-D puts on texts of another length; and its scale.
_LENGTH_DEVIATION, _CIDER_SCALE = 6.0, 10.0

Gram = tuple[str, ...]


class TextMetrics:
    """Scores texts against references.

    Args:
        corpus: texts that say how common an n-gram is, for CIDEr: the training reports, so that the score of
            one study does not depend on which others are evaluated.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        documents = [_grams(words_of(text)) for text in corpus]
        counts = Counter(gram for document in documents for gram in document)
        self._log_size = math.log(max(len(documents), 1))
        self._log_count = {gram: math.log(count) for gram, count in counts.items()}
        self._smoothing = SmoothingFunction().method1

    def score(self, text: str, reference: str) -> dict[str, float]:
        """Score one text.

        Returns:
            BLEU-1 to 4 (n-grams that do not occur count as 0.1, the first method of Chen and Cherry 2014), ROUGE-L
            as F1, METEOR by equal words and stems (no synonyms: WordNet is no package), CIDEr-D.
        """
        words, expected = words_of(text), words_of(reference)
        values = dict.fromkeys((*BLEU, ROUGE_L, METEOR, CIDER), 0.0)
        if not words or not expected:
            return values
        weights = [(1 / n,) * n for n in range(1, len(BLEU) + 1)]
        bleu = sentence_bleu([expected], words, weights, smoothing_function=self._smoothing)
        values |= dict(zip(BLEU, map(float, bleu), strict=True))
        values[ROUGE_L] = 2 * LCSseq.similarity(words, expected) / (len(words) + len(expected))
        values[METEOR] = float(single_meteor_score(expected, words, stemmer=_Stemmer(), wordnet=_NoSynonyms()))
        values[CIDER] = self._cider(words, expected)
        return values

    def _cider(self, words: Sequence[str], expected: Sequence[str]) -> float:
        """CIDEr-D against one reference: mean over n of clipped TF-IDF cosines, with a penalty on length."""
        own, other = _grams(words), _grams(expected)
        penalty = math.exp(-((len(words) - len(expected)) ** 2) / (2 * _LENGTH_DEVIATION**2))
        total = 0.0
        for n in range(1, _MAX_LENGTH + 1):
            own_n, other_n = self._weigh(own, n), self._weigh(other, n)
            product = sum(min(value, other_n[gram]) * other_n[gram] for gram, value in own_n.items() if gram in other_n)
            norm = math.hypot(*own_n.values()) * math.hypot(*other_n.values())
            total += product / norm if norm else 0.0
        return _CIDER_SCALE * penalty * total / _MAX_LENGTH

    def _weigh(self, grams: Counter[Gram], n: int) -> dict[Gram, float]:
        """Number of each n-gram, times how rare it is among the training reports."""
        return {
            gram: count * (self._log_size - self._log_count.get(gram, 0.0))
            for gram, count in grams.items()
            if len(gram) == n
        }


def words_of(text: str) -> list[str]:
    """Words and numbers of a text, in small letters, without punctuation."""
    return [word for word in split_words(text.lower()) if any(letter.isalnum() for letter in word)]


def _grams(words: Sequence[str]) -> Counter[Gram]:
    return Counter(
        tuple(words[first : first + n]) for n in range(1, _MAX_LENGTH + 1) for first in range(len(words) - n + 1)
    )


@cache
def _stem(word: str) -> str:
    return PorterStemmer().stem(word)


class _Stemmer:
    """Porter's stemmer that remembers words."""

    def stem(self, word: str) -> str:
        return _stem(word)


class _NoSynonyms:
    """In the place of WordNet, which no package carries."""

    def synsets(self, word: str) -> list[str]:
        return []
