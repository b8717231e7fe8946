"""What an addendum takes back of the report above it.

"Haemorrhage in the left thalamus" and "ADDENDUM: the side should read right thalamus" are one statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stages.reports.headers import any_of
from stages.reports.utterances import Located, Statement

#: Section whose statements go before those of the others.
ADDENDUM = "addendum"


class Addenda:
    """Applies the addenda of reports in one language."""

    def __init__(self, words: Mapping[str, Any], *, is_spaced: bool) -> None:
        """Prepare the words that tell a correction.

        Args:
            words: section words of the language.
            is_spaced: whether blanks part its words.
        """
        edge = r"\b" if is_spaced else ""
        ends = r".。;；\n"
        target = any_of([str(word) for word in words["corrected_to"]])
        corrections = any_of([str(word) for key in ("corrected_to", "corrections") for word in words[key]])
        self._old_wording = re.compile(rf"[^{ends}]+(?={edge}(?:{target}){edge})", re.IGNORECASE)
        self._correction = re.compile(rf"{edge}(?:{corrections}){edge}", re.IGNORECASE)

    def without_old_wording(self, text: str) -> str:
        """An addendum with blanks, as many as letters, where it quotes what it corrects."""
        return self._old_wording.sub(lambda match: " " * len(match.group()), text)

    def apply(self, located: list[Located], addenda: list[str]) -> list[Located]:
        """The statements of a report without those that an addendum takes back.

        Args:
            located: statements of the whole report.
            addenda: texts of its addenda.
        """
        added = [one.statement for one in located if one.section == ADDENDUM]
        is_correction = any(self._correction.search(text) for text in addenda)
        return [
            one
            for one in located
            if one.section == ADDENDUM
            or not any(_takes_back(new, one.statement, is_correction=is_correction) for new in added)
        ]


def _takes_back(new: Statement, old: Statement, *, is_correction: bool) -> bool:
    """Whether an added statement contradicts one of the report.

    What is added counts against its denial. A denial counts against what it names the place of, or
    against anything that fits if the addendum says that it corrects; so does another side of one place.
    """
    if new.finding != old.finding:
        return False
    fits_site = new.place.site == old.place.site or None in (new.place.site, old.place.site)
    fits_side = new.place.side == old.place.side or None in (new.place.side, old.place.side)
    if new.is_positive and not old.is_positive:
        return fits_site and fits_side
    if old.is_positive and not new.is_positive:
        is_same = new.place.site is not None and new.place.site == old.place.site
        return (is_same or (is_correction and fits_site)) and fits_side
    return is_correction and new.is_positive and fits_site and not fits_side
