"""Annotated passages, and how well their statements are read: precision, recall and F1.

A statement that is read matches an annotated one if finding and assertion are equal and, where the
annotation names them, site and side too. Each matches once; the matching is a largest one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from stages.artifacts.columns import ASSERTIONS
from stages.artifacts.extraction_tables import GOLD_PARTS
from stages.reports.lexicon import Lexicon
from stages.reports.utterances import Located

_RIGHT, _SPURIOUS, _MISSED = range(3)
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Annotation:
    """A statement as annotated; a site or side that is ``None`` fits any."""

    finding: str
    assertion: str
    site: str | None
    side: str | None
    signals: frozenset[tuple[str, str]]
    size_mm: float | None

    def fits(self, said: Annotation) -> bool:
        """Whether a statement that was read is this one."""
        is_same = (self.finding, self.assertion) == (said.finding, said.assertion)
        return is_same and self.site in (None, said.site) and self.side in (None, said.side)


@dataclass(frozen=True)
class Passage:
    """A few sentences with their statements.

    Attributes:
        part: ``seen`` if rules were written with it, ``held_out`` if not.
        optional: statements that a careful reader may or may not make; neither is an error.
        is_measured: whether signals and sizes are annotated as well.
    """

    name: str
    part: str
    language: str
    text: str
    statements: tuple[Annotation, ...]
    optional: tuple[Annotation, ...]
    is_measured: bool


@dataclass(frozen=True)
class Tally:
    """One decision in one passage: right, spurious or missed."""

    passage: int
    aspect: str
    finding: str | None
    assertion: str | None
    outcome: int


def load_gold(folder: Path, lexicon: Lexicon) -> list[Passage]:
    """Read the passages of ``seen_*.jsonl`` and ``held_out_*.jsonl`` in a folder.

    Raises:
        ValueError: if there are none, or a line names an unknown code.
    """
    files = [(part, file) for part in GOLD_PARTS for file in sorted(folder.glob(f"{part}_*.jsonl"))]
    if not files:
        raise ValueError(f"{folder}: no gold passages, expected seen_*.jsonl or held_out_*.jsonl; check --gold")
    passages = []
    for part, file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                passages.append(_passage(json.loads(line), part, lexicon))
            except (ValueError, KeyError) as error:
                raise ValueError(f"{file}, line {number}: {error}; correct the annotation") from None
    return passages


def tally(number: int, passage: Passage, located: Iterable[Located]) -> list[Tally]:
    """Compare what is read in a passage with its annotation.

    Args:
        number: position of the passage, by which intervals resample.
        passage: the passage.
        located: the statements that were read in it.
    """
    said = sorted({_said(one): None for one in located}, key=repr)
    is_matched = _matched(passage.statements, said)
    tallies = []
    for index, gold in enumerate(passage.statements):
        outcome = _RIGHT if index in is_matched else _MISSED
        tallies.append(Tally(number, "statements", gold.finding, gold.assertion, outcome))
    for index, one in enumerate(said):
        if index not in is_matched.values() and not any(gold.fits(one) for gold in passage.optional):
            tallies.append(Tally(number, "statements", one.finding, one.assertion, _SPURIOUS))
    if passage.is_measured:
        groups = (passage.statements, said, passage.optional)
        tallies += _compare(number, "signals", [_signals(group) for group in groups])
        tallies += _compare(number, "sizes", [_sizes(group) for group in groups])
    return tallies


def score(passages: Sequence[Passage], tallies: Sequence[Tally], num_resamples: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the ``SCORES`` contract: for every language and part all, each finding, each assertion, and both.

    Args:
        passages: the passages.
        tallies: all comparisons, numbered by position in ``passages``.
        num_resamples: bootstrap resamples of the passages behind each interval.
        seed: of the resampling.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, passage in enumerate(passages):
        groups.setdefault((passage.language, passage.part), []).append(number)
    rows = []
    for (language, part), members in sorted(groups.items()):
        positions = {number: position for position, number in enumerate(members)}
        own = [one for one in tallies if one.passage in positions]
        size = len(members)
        weights = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), num_resamples)
        for (aspect, finding, assertion), matching in _groups(own):
            counts = np.zeros((size, 3), np.int64)
            np.add.at(counts, ([positions[one.passage] for one in matching], [one.outcome for one in matching]), 1)
            row = {"language": language, "part": part, "aspect": aspect, "finding": finding, "assertion": assertion}
            rows.append(row | {"num_passages": size} | _figures(counts, weights))
    return rows


def summarise(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The scores as nested metrics: part, language, then all, signals, sizes, findings and assertions."""
    summary: dict[str, Any] = {}
    for row in rows:
        node = summary.setdefault(row["part"], {}).setdefault(row["language"], {})
        figures = {name: _rounded(row[name]) for name in ("precision", "recall", "f1")}
        if row["finding"] is None and row["assertion"] is None:
            node[row["aspect"]] = figures
        elif row["assertion"] is None:
            node.setdefault("findings", {})[row["finding"]] = figures
        elif row["finding"] is None:
            node.setdefault("assertions", {})[row["assertion"]] = figures
    return summary


def _passage(entry: Mapping[str, Any], part: str, lexicon: Lexicon) -> Passage:
    statements = tuple(_annotation(one, lexicon) for one in entry["statements"])
    optional = tuple(_annotation(one, lexicon) for one in entry.get("optional", ()))
    if entry["language"] not in lexicon.languages:
        raise ValueError(f"language {entry['language']!r}, expected one of {sorted(lexicon.languages)}")
    return Passage(entry["report_id"], part, entry["language"], entry["text"], statements, optional, "tags" in entry)


def _annotation(entry: Mapping[str, Any], lexicon: Lexicon) -> Annotation:
    for key, known in (("finding", lexicon.findings), ("site", lexicon.sites), ("assertion", ASSERTIONS)):
        if entry[key] is not None and entry[key] not in known:
            raise ValueError(f"{key} {entry[key]!r}, expected one of {sorted(known)}")
    signals = frozenset(entry.get("signals", {}).items())
    return Annotation(entry["finding"], entry["assertion"], entry["site"], entry["side"], signals, entry.get("size_mm"))


def _said(one: Located) -> Annotation:
    said = one.statement
    signals = frozenset(said.signals.items())
    return Annotation(said.finding, said.assertion, said.place.site, said.place.side, signals, said.size_mm)


def _matched(statements: Sequence[Annotation], said: Sequence[Annotation]) -> dict[int, int]:
    """Which annotation is matched by which statement, in a largest matching."""
    if not statements or not said:
        return {}
    is_fit = np.array([[gold.fits(one) for one in said] for gold in statements])
    pairs = zip(*linear_sum_assignment(is_fit, maximize=True), strict=True)
    return {int(gold): int(one) for gold, one in pairs if is_fit[gold, one]}


def _signals(statements: Iterable[Annotation]) -> set[tuple[str, str]]:
    return {pair for one in statements for pair in one.signals}


def _sizes(statements: Iterable[Annotation]) -> set[float]:
    return {round(float(one.size_mm), 1) for one in statements if one.size_mm is not None}


def _compare(number: int, aspect: str, values: Sequence[Set[Any]]) -> Iterator[Tally]:
    """Compare what is annotated with what is read; what is optional is no error."""
    gold, said, optional = values
    outcomes = [_RIGHT] * len(gold & said) + [_MISSED] * len(gold - said) + [_SPURIOUS] * len(said - gold - optional)
    yield from (Tally(number, aspect, None, None, outcome) for outcome in outcomes)


def _groups(tallies: Sequence[Tally]) -> list[tuple[tuple[str, str | None, str | None], list[Tally]]]:
    """The decisions of every figure that is shown, sorted by aspect, finding and assertion."""
    groups: dict[tuple[str, str | None, str | None], list[Tally]] = {}
    for one in tallies:
        keys = {(one.aspect, finding, said) for finding in (None, one.finding) for said in (None, one.assertion)}
        for key in keys:
            groups.setdefault(key, []).append(one)
    return sorted(groups.items(), key=lambda item: tuple(part or "" for part in item[0]))


def _figures(counts_PO: np.ndarray, weights_RP: np.ndarray) -> dict[str, Any]:
    """Figures of one group: P passages, O outcomes, R resamples."""
    right, spurious, missed = counts_PO.sum(axis=0)
    resampled_RO = weights_RP @ counts_PO
    f1_R = _ratio(2 * resampled_RO[:, _RIGHT], resampled_RO.sum(axis=1) + resampled_RO[:, _RIGHT])
    known = f1_R[np.isfinite(f1_R)]
    low, high = np.percentile(known, _INTERVAL) if known.size else (None, None)
    return {
        "true_positives": int(right),
        "false_positives": int(spurious),
        "false_negatives": int(missed),
        "precision": _share(right, right + spurious),
        "recall": _share(right, right + missed),
        "f1": _share(2 * right, 2 * right + spurious + missed),
        "f1_low": low,
        "f1_high": high,
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
