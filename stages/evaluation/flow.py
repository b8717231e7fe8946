"""The cohort's way from files to splits, with the reason for every loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import pyarrow as pa

from stages.artifacts import cohort_tables, tables
from stages.evaluation.cohort import Cohort, rows_of

USED = "used"
LEVELS = ("files", "series", "studies", "pairs", "splits")


@dataclass(frozen=True)
class Pair:
    """A study (or one sequence of it) with its text, and why it cannot be used, if it cannot."""

    study_id: str
    sequence: str | None
    text_id: int
    loss: str | None


def judge_pairs(cohort: Cohort, withheld_sequences: Set[str]) -> list[Pair]:
    """Tell which pairs of image and text have a selected volume whose sequence is not withheld."""
    selected: dict[str, set[str]] = {study_id: set() for study_id in cohort.series["study_id"].to_pylist()}
    for study_id, sequence, is_selected in rows_of(cohort.volumes, "study_id", "sequence", "is_selected"):
        if is_selected:
            selected.setdefault(study_id, set()).add(sequence)
    return [
        Pair(study_id, sequence, text_id, _pair_loss(selected.get(study_id), sequence, withheld_sequences))
        for study_id, sequence, text_id in rows_of(cohort.pairs, "study_id", "sequence", "text_id")
    ]


def require_pairs(cohort: Cohort, pairs: Sequence[Pair]) -> None:
    """Check that something is left to split.

    Raises:
        ValueError: if no pair can be used; the message counts the studies by what they lack.
    """
    if any(pair.loss is None for pair in pairs):
        return
    fates = ", ".join(f"{fate} {count}" for fate, count in sorted(_study_flow(cohort, pairs).items()))
    raise ValueError(
        f"no study has both a usable volume and a text ({fates}); "
        "compare the accession numbers of images and reports, or withhold fewer sequences"
    )


def count_flow(cohort: Cohort, pairs: Sequence[Pair], split_of: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Count files, series, studies, pairs and splits by what became of them.

    Series that were never converted carry their files' reason; studies are known by images or by report.
    """
    return {
        "files": _file_flow(cohort),
        "series": _series_flow(cohort),
        "studies": _study_flow(cohort, pairs),
        "pairs": Counter(pair.loss or USED for pair in pairs),
        "splits": Counter(split_of.values()),
    }


def flow_table(counts: Mapping[str, Mapping[str, int]]) -> pa.Table:
    """Table of contract FLOW: levels in their order, what is used first, then the losses by name."""
    rows = [
        {"level": level, "group": group, "count": counts[level][group]}
        for level in LEVELS
        for group in sorted(counts[level], key=lambda group: (group != USED, _split_rank(group), group))
    ]
    return tables.from_rows(cohort_tables.FLOW, rows)


def _pair_loss(selected: set[str] | None, sequence: str | None, withheld: Set[str]) -> str | None:
    if selected is None:
        return "no_images"
    if not selected:
        return "no_usable_volume"
    if sequence is not None and sequence not in selected:
        return "sequence_not_acquired"
    if not ({sequence} if sequence is not None else selected) - withheld:
        return "withheld_sequence"
    return None


def _file_flow(cohort: Cohort) -> Counter[str]:
    rows = rows_of(cohort.ledger, "status", "reason")
    return Counter(USED if status == USED else reason or "unknown" for status, reason in rows)


def _series_flow(cohort: Cohort) -> Counter[str]:
    fate: dict[str, str] = {}
    for series_id, status, reason in rows_of(cohort.ledger, "series_id", "status", "reason"):
        if series_id is not None:
            fate.setdefault(series_id, "not_converted" if status == USED else reason or "unknown")
    fate |= dict.fromkeys(cohort.series["series_id"].to_pylist(), "unreadable_volume")
    for series_id, is_selected, is_constant in rows_of(cohort.volumes, "series_id", "is_selected", "is_constant"):
        fate[series_id] = USED if is_selected else "constant_image" if is_constant else "not_selected"
    return Counter(fate.values())


def _study_flow(cohort: Cohort, pairs: Iterable[Pair]) -> Counter[str]:
    statuses: dict[str, list[str]] = {}
    for study_id, status in rows_of(cohort.reports, "study_id", "status"):
        statuses.setdefault(study_id, []).append(status)
    losses: dict[str, list[str | None]] = {}
    for pair in pairs:
        losses.setdefault(pair.study_id, []).append(pair.loss)
    imaged = dict.fromkeys(cohort.series["study_id"].to_pylist())
    return Counter(
        _study_fate(study_id in imaged, statuses.get(study_id, []), losses.get(study_id, []))
        for study_id in imaged | dict.fromkeys(statuses)
    )


def _study_fate(has_images: bool, statuses: list[str], losses: list[str | None]) -> str:
    if not has_images:
        return "no_images"
    if not statuses:
        return "no_report"
    if USED not in statuses:
        return f"report_{statuses[0]}"
    if not losses:
        return "no_text"
    return USED if None in losses else str(losses[0])


def _split_rank(group: str) -> int:
    return cohort_tables.SPLITS.index(group) if group in cohort_tables.SPLITS else -1
