"""Is a phrase present, absent or uncertain: negation and hedging with their scope.

The idea is that of NegEx and ConText (Chapman 2001, Harkema 2009): cues before or after a phrase
reach to the end of their list, clause or sentence; look-alikes ("no change in") are no cues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.artifacts.extraction_tables import REFERENCES
from stages.reports.sentences import Mention, Sentence

_HISTORY, _COMPARISON, _CAUSE, _NOT_NEW = REFERENCES
_ASSERTION = {
    "finding": "absent",
    "normality": "absent",
    "negation_before": "absent",
    "negation_after": "absent",
    "uncertainty_before": "uncertain",
    "uncertainty_after": "uncertain",
}
_SAID = ("finding", "change", "lesions", "signal", "pair")
_PLACES = ("site", "side", "sequence", "subject")
_LONGEST_LIST_GAP = 6
_LONGEST_PAIR_GAP = 3
_MAX_AFFIRMATION = 6


class Assertions:
    """Decides assertions by the cue words of one language."""

    def __init__(self, language: Mapping[str, Any]) -> None:
        self._fresh = frozenset(map(str, language["fresh_starts"]))
        self._fresh_characters = frozenset(word for word in self._fresh if len(word) == 1 and not word.isascii())
        self._joins = frozenset(map(str, language["coordinations"]))
        self._alternatives = frozenset(map(str, language["alternatives"]))
        self._distributives = frozenset(map(str, language["distributives"]))
        self._plurals = frozenset(map(str, language["plural_verbs"]))
        self._contrasts = frozenset(map(str, language["contrasts"]))
        self._denial_joins = frozenset(map(str, language["denial_joins"]))
        self._definites = frozenset(map(str, language["definites"]))
        self._prepositions = frozenset(map(str, language["prepositions"]))
        self._verbs = frozenset(map(str, language.get("verbs", ())))
        self._examinations = frozenset(map(str, language.get("examinations", ())))
        self._fresh_findings = frozenset(map(str, language.get("fresh_findings", ())))
        self._affirmations = tuple(map(str, language.get("affirmations", ())))
        self._purposes = frozenset(map(str, language.get("purposes", ())))
        self._new = tuple(map(str, language["new"]))
        # Chinese lists by 、 and leaves the comma to clauses
        self._is_comma_listing = "、" not in self._joins
        self._denials = frozenset(map(str, language["denials"]))
        self._comparisons = tuple(map(str, language["comparisons"]))

    def of(self, sentence: Sentence, mention: Mention) -> str:
        """Present, absent or uncertain; or the kind of reference that makes it no statement."""
        if mention.assertion:
            return mention.assertion
        if reference := self._reference(sentence, mention):
            return reference
        cue = self._cue(sentence, mention)
        if cue is None:
            return "present"
        return _NOT_NEW if self._is_denied_as_new(sentence, mention, cue) else _ASSERTION[cue.kind]

    def _cue(self, sentence: Sentence, mention: Mention) -> Mention | None:
        cue = self._cue_after(sentence, mention) or self._cue_before(sentence, mention)
        return None if cue is None or self._is_reference(sentence, mention, cue) else cue

    def _is_denied_as_new(self, sentence: Sentence, mention: Mention, cue: Mention) -> bool:
        """Whether only something new is denied, which leaves open what was there: "no new lesion".

        Where "new" may just mean fresh (新发), it takes a comparison to say so.
        """
        is_open = not self._comparisons or any(words in sentence.text for words in self._comparisons)
        if cue.kind != "negation_before" or not is_open:
            return False
        between = sentence.words[cue.end : mention.start]
        return any(word in between for word in self._new)

    def _reference(self, sentence: Sentence, mention: Mention) -> str | None:
        for cue in sentence.of("history_before"):
            gap = sentence.words[cue.end : mention.start]
            if sentence.words[cue.start] == "compared" and self._is_examination(gap):
                continue
            is_near = cue.end <= mention.start and len(gap) <= _LONGEST_LIST_GAP and ":" not in gap
            if not self._is_comma_listing and self._denies_anew(sentence, cue.end, mention.start):
                continue  # "术后复查，未见出血"
            if is_near and not self._has_break(sentence, cue, mention):
                return _HISTORY
        for cue in sentence.of("history_after"):
            is_listed = self._is_comma_listing or "," not in sentence.words[mention.end : cue.start]
            if 0 <= cue.start - mention.end <= 1 and is_listed:
                return _HISTORY
        return _CAUSE if self._is_cause(sentence, mention) else None

    def _is_examination(self, words: tuple[str, ...]) -> bool:
        """Whether a comparison is with an examination, and no finding: "compared with 2019 the mass is larger"."""
        return "," in words or any(word in self._examinations or word.isdigit() for word in words)

    def _denies_anew(self, sentence: Sentence, start: int, end: int) -> bool:
        """Whether a clause that opens with a denial begins in a stretch of tokens."""
        denials = [m.start for m in sentence.of("negation_before") if start < m.start < end]
        return any(sentence.words[index - 1] == "," for index in denials)

    def _is_cause(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a finding is named as what left another: "gliosis from an old haemorrhage"."""
        others = [other.start for other in sentence.of("finding", "change") if other.start < mention.start]
        causes = [cause.end for cause in sentence.of("cause_before") if cause.end <= mention.start]
        if not others or not causes or not min(others) < causes[-1]:
            return False
        doubts = [cue.start for cue in sentence.of("uncertainty_before") if cue.end > max(others)]
        if doubts and min(doubts) < causes[-1]:  # "possibly from an old infarct"
            return False
        return mention.start - causes[-1] <= _LONGEST_LIST_GAP and max(others) < causes[-1]

    def _cue_before(self, sentence: Sentence, mention: Mention) -> Mention | None:
        cues = [cue for cue in sentence.of("negation_before", "uncertainty_before") if cue.end <= mention.start]
        if not self._is_comma_listing:  # "克雅病待排：…" doubts what stands before the colon
            cues = [cue for cue in cues if sentence.words[cue.end] != ":"]
        cues += [other for other in sentence.of("finding") if self._opens_denials(sentence, other, mention)]
        cues += [one for one in sentence.of("normality") if one.end <= mention.start and self.denies(sentence, one)]
        if self._is_affirmed(sentence, mention):  # "无水肿，听神经瘤首先考虑"
            cues = [cue for cue in cues if "," not in sentence.words[cue.end : mention.start]]
        reaching = [cue for cue in cues if not self._has_break(sentence, cue, mention)]
        # "no lesion to suggest an infarct" denies the infarct too
        denials = [cue for cue in reaching if cue.kind != "uncertainty_before"]
        return max(denials or reaching, key=lambda cue: cue.end, default=None)

    def _is_affirmed(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a phrase is named as the diagnosis by what follows it."""
        return "".join(sentence.words[mention.end : mention.end + _MAX_AFFIRMATION]).startswith(self._affirmations)

    def _opens_denials(self, sentence: Sentence, other: Mention, mention: Mention) -> bool:
        """Whether a phrase that denies itself heads a list: "without enhancement or haemorrhage"."""
        is_before = other.assertion == "absent" and other.end < mention.start
        return is_before and sentence.words[other.end] in self._denial_joins

    def denies(self, sentence: Sentence, normality: Mention) -> bool:
        """Whether normality is said by a denial, which may go on: "no abnormal signal or mass"."""
        return sentence.words[normality.start] in self._denials

    def _cue_after(self, sentence: Sentence, mention: Mention) -> Mention | None:
        mention = self._last_alike(sentence, mention)
        cues = [cue for cue in sentence.of("negation_after", "uncertainty_after") if cue.start >= mention.end]
        for cue in sorted(cues, key=lambda cue: cue.start):
            is_contrast = not self._contrasts.isdisjoint(sentence.words[cue.start : cue.end])
            if not is_contrast and self._points_forward(sentence, cue):
                return None
            return cue if self._is_listed_up_to(sentence, mention, cue) else None
        return None

    def _last_alike(self, sentence: Sentence, mention: Mention) -> Mention:
        """The last of several words for one finding in a row: "encephalomalacia with gliosis"."""
        for other in sorted(sentence.of(mention.kind), key=lambda m: m.start):
            gap = sentence.words[mention.end : other.start]
            if other.start < mention.end or len(gap) > _LONGEST_PAIR_GAP or "," in gap:
                continue
            if other.values == mention.values and not sentence.has_cue(mention.end, other.start):
                mention = other
        return mention

    def _points_forward(self, sentence: Sentence, cue: Mention) -> bool:
        """Whether a cue that works both ways ("possible") belongs to what follows it."""
        is_both_ways = any((m.start, m.end) == (cue.start, cue.end) for m in sentence.of(*_before_kinds()))
        following = [m for m in sentence.of(*_SAID) if m.start >= cue.end]
        stops = {","} if self._is_comma_listing else {",", ":"}
        return is_both_ways and any(stops.isdisjoint(sentence.words[cue.end : m.start]) for m in following)

    def _is_listed_up_to(self, sentence: Sentence, mention: Mention, cue: Mention) -> bool:
        """Whether only a list lies between a phrase and the cue after it."""
        # "unusual but remains possible": what comes right before a cue belongs to it
        if self._terminates(sentence, mention.end, cue.start - 1):
            return False
        position = mention.end
        alternatives = self._alternatives if self._is_comma_listing else frozenset()
        has_alternative = bool(
            alternatives.intersection(sentence.words[mention.end : cue.start])
            or self._distributives.intersection(sentence.words[cue.start : cue.end])
        )
        # "infarct, haemorrhage and mass are absent"
        is_plural = not self._plurals.isdisjoint(sentence.words[cue.start - 1 : cue.start + 1])
        others = [m for m in sentence.of(*_SAID) if mention.end <= m.start and m.end <= cue.start]
        for other in sorted(others, key=lambda m: m.start):
            gap = sentence.words[position : other.start]
            if gap and (len(gap) > _LONGEST_LIST_GAP or not self._joins.intersection(gap)):
                return False
            if self._verbs.intersection(gap):  # "oedema has increased and tumour is suspected"
                return False
            if ":" in gap:  # "oedema in the thalamus: abscess or lymphoma is possible"
                return False
            is_plain = is_plural and self._joins.issuperset(gap)
            if "," in gap and not (has_alternative or is_plain):
                return False
            position = other.end
        if ":" in sentence.words[position : cue.start - 1]:
            return False
        is_near = "," not in sentence.words[position : cue.start] or self._is_apposed(sentence, position, cue)
        return is_near and not any(
            position <= m.start < cue.start for m in sentence.of("negation_before", "uncertainty_before")
        )

    def _is_apposed(self, sentence: Sentence, start: int, cue: Mention) -> bool:
        """Whether nothing but a place stands between commas: "haemorrhage, left frontal lobe, ..."."""
        end = cue.start
        if not self._is_comma_listing:  # "…增生，右侧海马未见…" opens a clause; "…移位，存疑。" is all of one
            return sentence.words[start:end] == (",",) and {",", "。"}.issuperset(sentence.words[cue.end : cue.end + 1])
        places = [m for m in sentence.of("site", "side") if start <= m.start and m.end <= end]
        inside = {index for m in places for index in range(m.start, m.end)}
        rest = {sentence.words[index] for index in range(start, end) if index not in inside}
        return bool(places) and rest <= {","} | self._definites | self._prepositions

    def _has_break(self, sentence: Sentence, cue: Mention, mention: Mention) -> bool:
        """Whether the scope of a cue ends before a phrase."""
        # "possibly representing": what follows a cue at once is part of it
        opening = {m.end for m in sentence.of("terminators") if m.start == cue.end}
        if self._terminates(sentence, max(opening, default=cue.end), mention.start):
            return True
        words = sentence.words
        # "no abnormality" closes its clause: nothing is listed after it
        is_normality = any((m.start, m.end) == (cue.start, cue.end) for m in sentence.of("normality"))
        is_closed = is_normality or cue.kind == "finding"
        is_list = cue.kind != "uncertainty_before" and not is_closed
        for index in range(cue.end, mention.start):
            if words[index] != "," and words[index] != "and":
                continue
            if self._joins_sequences(sentence, index):
                continue
            if words[index] == "and" and any(m.start == index + 1 for m in sentence.of("uncertainty_before")):
                return True
            has_alternative = self._alternatives.intersection(words[index : _segment_end(sentence, mention.start)])
            if has_alternative and not self._opens_clause(sentence, index, mention):
                continue
            if (words[index] == "," and not is_list) or self._starts_afresh(sentence, index + 1, mention):
                return True
        return False

    def _joins_sequences(self, sentence: Sentence, index: int) -> bool:
        """Whether a word only stands between two sequences: "an equivocal T2 and FLAIR hyperintense area"."""
        sequences = sentence.of("sequence")
        return any(m.end == index for m in sequences) and any(m.start == index + 1 for m in sequences)

    def _terminates(self, sentence: Sentence, start: int, end: int) -> bool:
        return any(start <= mention.start and mention.end <= end for mention in sentence.of("terminators"))

    def _starts_afresh(self, sentence: Sentence, index: int, mention: Mention) -> bool:
        """Whether a list item opens a statement of its own."""
        words = sentence.words
        while index < mention.start and words[index] in self._joins:
            index += 1
        if index < mention.start and (words[index] in self._fresh or words[index][0] in self._fresh_characters):
            return True
        if "".join(words[index : index + 2]) in self._fresh:
            return True
        if "".join(words[index : index + 2]) in self._fresh_findings:  # "未见出血，周围水肿减轻"
            return True
        openers = sentence.of(*_PLACES, "uncertainty_before")
        return any(opener.start <= index < opener.end for opener in openers) and index < mention.start

    def _opens_clause(self, sentence: Sentence, index: int, mention: Mention) -> bool:
        """Whether a new subject with its verb stands between a comma and a phrase."""
        between = sentence.words[index : mention.start]
        return any(verb in between for verb in ("is", "are", "shows", "demonstrates", "见", "呈", "示"))

    def _is_reference(self, sentence: Sentence, mention: Mention, cue: Mention) -> bool:
        """Whether a cue speaks of something in or around a known finding ("no oedema around the mass")."""
        if cue.end > mention.start:
            return False
        between = sentence.words[cue.end : mention.start]
        if self._is_share_of_known(sentence, cue, mention):
            return True
        for index, word in enumerate(between):
            if word in self._definites and index and between[index - 1] in self._prepositions:
                if not self._purposes.isdisjoint(between[index:]):  # "no enhancement at the margin to suggest a tumour"
                    return False
                return any(cue.end <= m.start < cue.end + index for m in sentence.of(*_SAID))
        return False

    def _is_share_of_known(self, sentence: Sentence, cue: Mention, mention: Mention) -> bool:
        """Whether something is denied of known findings: "none of the lesions enhances"."""
        between = sentence.words[cue.end : mention.start]
        if sentence.words[cue.end - 1] not in self._distributives or between[:1] != ("of",):
            return False
        said = sentence.of(*_SAID)
        is_subject = any(m.start >= mention.end for m in said) and not any(
            cue.end <= m.start < mention.start for m in said
        )
        return is_subject and not self._definites.isdisjoint(between[1:2])


def _before_kinds() -> tuple[str, str]:
    return "negation_before", "uncertainty_before"


def _segment_end(sentence: Sentence, index: int) -> int:
    """First token of what ends the list around a token."""
    stops = [mention.start for mention in sentence.of("terminators") if mention.start >= index]
    return min(stops, default=len(sentence.words))
