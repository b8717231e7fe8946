"""Whether a report is in a language that is read at all; another one must not be read as English."""

from __future__ import annotations

import re

from spacy.lang.en.stop_words import STOP_WORDS

from stages.reports.lexicon import Lexicon
from stages.reports.sections import detect_language

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
# Letters of scripts that neither English nor Chinese is written in: all but Latin, Greek and Han.
_FOREIGN = re.compile(r"[\u0400-\u1cff\u3040-\u30ff\u3130-\u318f\ua000-\udfff]")
_MAX_FOREIGN_SHARE = 0.15
# Fewer words tell nothing.
_MIN_WORDS = 12
# Of the words of English reports two fifths and more are known, of German and Romance ones an eighth at
# most. Dutch looks like terse English and is not told apart.
_MIN_KNOWN_SHARE = 0.2


class LanguageCheck:
    """Tells reports in English or Chinese from others."""

    def __init__(self, lexicon: Lexicon) -> None:
        words = {word for term in lexicon.vocabulary() for word in _WORD.findall(term.lower())}
        self._known = frozenset(words | STOP_WORDS)

    def is_supported(self, text: str) -> bool:
        """Whether a text is in a language that the lexicons read, as far as its words tell."""
        letters = _LETTER.findall(text)
        if len(_FOREIGN.findall(text)) > _MAX_FOREIGN_SHARE * len(letters):
            return False
        if detect_language(text) == "zh":
            return True
        words = [word.lower() for word in _WORD.findall(text)]
        num_known = sum(word in self._known for word in words)
        return len(words) < _MIN_WORDS or num_known >= _MIN_KNOWN_SHARE * len(words)
