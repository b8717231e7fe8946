"""Signal in each sequence, as a sentence states it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from stages.reports.sentences import Mention, Sentence

_MAX_GAP = 7


@dataclass(frozen=True)
class Signal:
    """Signal in one sequence (none named: ``None``), and the phrase that says it."""

    sequence: str | None
    signal: str
    mention: Mention


class Signals:
    """Reads sequence and signal phrases of one language."""

    def __init__(self, language: Mapping[str, Any]) -> None:
        self._joins = frozenset(map(str, language["signal_joins"]))
        self._prepositions = frozenset(map(str, language["signal_prepositions"]))
        self._lengths = _lengths(language["pairs"])
        self._sequences = _single_words(language["sequences"])
        self._intensities = _single_words(language["signals"])
        self._list = frozenset(map(str, language["pair_joins"]))

    def of(self, sentence: Sentence) -> list[Signal]:
        """The signals of a sentence, each with its sequence where one is named."""
        signals = [Signal(m.values[0], m.values[1], m) for m in sentence.of("pair")]
        signals += [signal for m in sentence.of("pair") for signal in self._elided(sentence, m)]
        runs = self._runs(sentence)
        for mention in sentence.of("signal"):
            run = self._run_of(sentence, mention, runs)
            sequences = dict.fromkeys(m.value for m in run) if run else {None: None}
            signals += [Signal(sequence, mention.value, mention) for sequence in sequences]
        for mention in sentence.of("weak"):
            signals += self._weak(sentence, mention, runs)
        return sorted(signals, key=lambda signal: signal.mention.start)

    def named(self, sentence: Sentence, findings: Iterable[Mention]) -> dict[str, str]:
        """Signals that the words for findings say themselves: "white matter T2 hyperintensities"."""
        pairs: dict[str, str] = {}
        for mention in findings if self._prepositions else ():
            words = sentence.words[mention.start : mention.end]
            signal = next((self._intensities[word] for word in words if word in self._intensities), None)
            if signal is None:
                continue
            own = [self._sequences[word] for word in words if word in self._sequences]
            runs = [] if own else self._runs(sentence)
            # "white matter hyperintensities in the frontal lobes on FLAIR"
            after = [r for r in runs if r[0].start > mention.end and sentence.words[r[0].start - 1] == "on"]
            run = self._run_of(sentence, mention, runs) or next(iter(after), None)
            pairs |= dict.fromkeys(own or [m.value for m in run or ()], signal)
        return pairs

    def _elided(self, sentence: Sentence, pair: Mention) -> list[Signal]:
        """The next sequence of a relaxation time, where its word is not said again: "长T1、T2"."""
        length = "".join(sentence.words[pair.start : pair.end])[: -len(pair.value)]
        for sequence in sentence.of("sequence"):
            gap = sentence.words[pair.end : sequence.start]
            if sequence.start >= pair.end and len(gap) <= 1 and self._list.issuperset(gap):
                signal = self._lengths.get((length, sequence.value))
                if signal is not None:
                    return [Signal(sequence.value, signal, Mention("pair", pair.values, pair.start, sequence.end))]
        return []

    def _runs(self, sentence: Sentence) -> list[list[Mention]]:
        """Sequences that are named in one breath: "T1 and T2"."""
        runs: list[list[Mention]] = []
        for mention in sentence.of("sequence"):
            gap = sentence.words[runs[-1][-1].end : mention.start] if runs else ()
            if runs and len(gap) <= 3 and all(word in self._joins for word in gap):
                has_signal = any(runs[-1][-1].end <= m.start < mention.start for m in sentence.of("signal", "weak"))
                if not has_signal:
                    runs[-1].append(mention)
                    continue
            runs.append([mention])
        return [part for run in runs for part in self._parted(sentence, run)]

    def _parted(self, sentence: Sentence, run: list[Mention]) -> list[list[Mention]]:
        """A run between two signals, each with its own part: "hyperintense FLAIR and DWI, T1 isointense"."""
        signals = sentence.of("signal") if self._prepositions and len(run) > 1 else ()
        if not (any(m.end == run[0].start for m in signals) and any(m.start == run[-1].end for m in signals)):
            return [run]
        gaps = [sentence.words[one.end : other.start] for one, other in zip(run, run[1:], strict=False)]
        parts = [i for i, gap in enumerate(gaps, 1) if "," in gap] or [i for i, gap in enumerate(gaps, 1) if gap]
        return [run[: parts[-1]], run[parts[-1] :]] if parts else [run]

    def _run_of(self, sentence: Sentence, mention: Mention, runs: list[list[Mention]]) -> list[Mention] | None:
        after = next((run for run in runs if run[0].start >= mention.end), None)
        before = next((run for run in reversed(runs) if run[-1].end <= mention.start), None)
        gap_after = sentence.words[mention.end : after[0].start] if after else ()
        if after and gap_after == ("(",) and sentence.words[after[-1].end : after[-1].end + 1] == (")",):
            return after  # 高信号（FLAIR）
        if after and gap_after and gap_after[0] in self._prepositions and self._is_joined(gap_after):
            return after
        gap_before = sentence.words[before[-1].end : mention.start] if before else ()
        if after and not gap_after and self._is_head(sentence, mention, gap_before if before else None):
            return after
        # "SWI示微出血灶，呈低信号"
        is_shown = gap_before[:1] == ("示",) and sentence.words[mention.start - 1] == "呈"
        is_topic = not self._prepositions and ("," not in gap_before or is_shown)
        if before and (is_topic or self._is_joined(gap_before)):
            return before
        if before and before[-1].end == 1 and sentence.words[1] == ":" and self._prepositions:
            return before  # "DWI: a bright spot in the pons"
        is_near = self._prepositions.intersection(gap_after) and len(gap_after) <= _MAX_GAP
        is_near = is_near and not (after and self._prepositions and sentence.has_cue(mention.end, after[0].start))
        return after if after and is_near and "," not in gap_after else None

    def _is_head(self, sentence: Sentence, mention: Mention, gap_before: tuple[str, ...] | None) -> bool:
        """Whether a signal belongs to the sequence right after it: "hyperintense T2, hypointense T1".

        Args:
            sentence: where they stand.
            mention: the signal.
            gap_before: words since the last sequence before it; ``None`` if there is none.
        """
        if not self._prepositions:
            return False
        if gap_before == ():
            return sentence.of("signal")[0].start < sentence.of("sequence")[0].start
        return {"is", "are"}.isdisjoint(gap_before or ())

    def _weak(self, sentence: Sentence, mention: Mention, runs: list[list[Mention]]) -> list[Signal]:
        """A bare adjective counts only right beside a sequence: "high T2", "ADC值减低"."""
        for run in runs:
            is_next = run[0].start == mention.end
            gap = sentence.words[run[-1].end : mention.start] if run[-1].end <= mention.start else None
            is_on = mention.value != "mixed" and self._is_led_to(sentence.words[mention.end : run[0].start])
            is_last = not self._prepositions and gap is not None and len(gap) <= 4 and self._is_joined(gap)
            is_said = gap is not None and len(gap) <= 2 and {"is", "are", "being"}.intersection(gap)
            if is_next or is_on or is_last or is_said:
                return [Signal(m.value, mention.value, mention) for m in run]
        return []

    def _is_led_to(self, gap: tuple[str, ...]) -> bool:
        """Whether only a preposition, and an article, parts an adjective from its sequence: "high on T2"."""
        return 0 < len(gap) <= 2 and gap[0] in self._prepositions

    def _is_joined(self, gap: tuple[str, ...]) -> bool:
        return len(gap) <= _MAX_GAP and all(word in self._joins for word in gap)


def _single_words(group: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    """What single words of a group of terms mean, plurals included."""
    words = {str(term).lower(): code for code, terms in group.items() for term in terms if " " not in str(term)}
    plurals = {f"{word[:-1]}ies": code for word, code in words.items() if word.endswith("y")}
    return words | plurals


def _lengths(pairs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """What a word before a sequence says of it: "长" of T1 low, of T2 high."""
    return {
        (term.lower()[: -len(pair["sequence"])], pair["sequence"]): pair["signal"]
        for pair in pairs
        for term in map(str, pair["terms"])
        if term.endswith(pair["sequence"])
    }


def anchor_of(rule: Any, signals: list[Signal]) -> Mention | None:
    """The phrase that gives a sequence the signal of a rule, unless it lumps that sequence with others."""
    for signal in signals:
        beside = {other.sequence for other in signals if other.mention == signal.mention}
        is_lumped = not beside.isdisjoint(rule.get("unless_joined", ()))
        if [signal.sequence, signal.signal] in rule["any"] and not is_lumped:
            return signal.mention
    return None


def is_told(rule: Any, said: Set[tuple[str | None, str]], named: Set[str]) -> bool:
    """Whether signals make their finding: what confirms it is said, or a finding that brings it is named."""
    confirming = {tuple(pair) for pair in rule["any"] if pair[0] == rule.get("confirmed_by")}
    return not confirming or bool(confirming & said) or not named.isdisjoint(rule.get("or_beside", ()))
