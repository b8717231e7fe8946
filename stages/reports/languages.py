"""Whether a report is in a language that is read at all; another one must not be read as English."""

from __future__ import annotations

import re

from spacy.lang.en.stop_words import STOP_WORDS

from stages.reports.lexicon import Lexicon

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

    def is_supported(self, text: str, language: str) -> bool:
        """Whether a text that looks like one of the languages is in it, as far as its letters and words tell."""
        if _FOREIGN.search(text) and len(_FOREIGN.findall(text)) > _MAX_FOREIGN_SHARE * len(_LETTER.findall(text)):
            return False
        if language == "zh":
            return True
        words = _WORD.findall(text.lower())
        return len(words) < _MIN_WORDS or sum(map(self._known.__contains__, words)) >= _MIN_KNOWN_SHARE * len(words)
