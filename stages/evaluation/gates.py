"""Leakage between splits, counted anew from the series and the splits, independently of how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.artifacts import cohort_tables, imaging_tables, report_tables, tables
from stages.evaluation.leakage import text_overlap

TRAIN, ALL = "train", "all"

_REMEDIES = {
    "moved_studies": ("studies have another patient in the splits than in their series", "run split_cohort again"),
    "shared_patients": ("patients lie in more than one split", "split by patient"),
    "shared_images": ("images lie in more than one split", "find the studies that were sent twice, and drop one"),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class SplitContents:
    """What each split holds.

    Attributes:
        split_of: split of each study.
        placed_patient: patient of each study according to the splits.
        series: study, patient and content hash of every series of those studies.
        texts: texts of each split.
    """

    split_of: Mapping[str, str]
    placed_patient: Mapping[str, str]
    series: list[tuple[str, str, str]]
    texts: Mapping[str, list[str]]

    @classmethod
    def load(cls, series: Path, splits: Path, texts: Path) -> SplitContents:
        """Read the contents.

        Args:
            series: ``series.parquet``.
            splits: ``splits.parquet``.
            texts: folder with ``texts.parquet`` and ``pairs.parquet``.

        Raises:
            ValueError: if a study of the splits has no series.
        """
        placed = tables.read(splits, cohort_tables.SPLIT_TABLE).to_pylist()
        split_of = {row["study_id"]: row["split"] for row in placed}
        columns = ["study_id", "patient_id", "sha256"]
        found = tables.read(series, imaging_tables.SERIES, columns).to_pylist()
        own = [(row["study_id"], row["patient_id"], row["sha256"]) for row in found if row["study_id"] in split_of]
        num_unknown = len(set(split_of) - {study_id for study_id, _, _ in own})
        if num_unknown:
            raise ValueError(f"{splits}: {num_unknown} studies have no series in {series}; run split_cohort again")
        text_of = tables.read(texts / "texts.parquet", report_tables.TEXTS, ["text"])["text"].to_pylist()
        of_splits: dict[str, list[str]] = {split: [] for split in dict.fromkeys([TRAIN, *split_of.values()])}
        for pair in tables.read(texts / "pairs.parquet", report_tables.PAIRS).to_pylist():
            if pair["study_id"] in split_of:
                of_splits[split_of[pair["study_id"]]].append(text_of[pair["text_id"]])
        return cls(split_of, {row["study_id"]: row["patient_id"] for row in placed}, own, of_splits)


def check_leakage(contents: SplitContents, near_duplicate_ratio: float) -> list[Row]:
    """Count what splits share: rows of the ``LEAKAGE`` contract, gates first.

    Args:
        contents: of the splits.
        near_duplicate_ratio: normalised indel similarity from which two texts nearly repeat each other.
    """
    return [*_gates(contents), *_texts(contents, near_duplicate_ratio)]


def require_closed_gates(rows: list[Row]) -> None:
    """Check that nothing is shared that must not be.

    Raises:
        ValueError: naming every gate that is open, how far, and what to do.
    """
    is_open = [row for row in rows if row["is_gate"] and row["count"]]
    if is_open:
        lines = [
            f"{row['count']} of {row['out_of']} {what}, expected 0; {remedy}"
            for row in is_open
            for what, remedy in (_REMEDIES[row["check"]],)
        ]
        raise ValueError("leakage between splits: " + "; ".join(lines))


def _gates(contents: SplitContents) -> Iterator[Row]:
    patient_of = {study_id: patient_id for study_id, patient_id, _ in contents.series}
    num_moved = sum(patient_of[study_id] != patient for study_id, patient in contents.placed_patient.items())
    yield _row("moved_studies", ALL, num_moved, len(contents.split_of), is_gate=True)
    for check, column in (("shared_patients", 1), ("shared_images", 2)):
        splits: dict[str, set[str]] = {}
        for entry in contents.series:
            splits.setdefault(entry[column], set()).add(contents.split_of[entry[0]])
        yield _row(check, ALL, sum(len(names) > 1 for names in splits.values()), len(splits), is_gate=True)


def _texts(contents: SplitContents, ratio: float) -> Iterator[Row]:
    for split, counts in text_overlap(contents.texts, TRAIN, ratio).items():
        yield _row("exact_texts", split, counts["num_exact"], counts["num_texts"], is_gate=False)
        yield _row("near_texts", split, counts["num_near"], counts["num_texts"], is_gate=False)


def _row(check: str, split: str, count: int, out_of: int, *, is_gate: bool) -> Row:
    return {"check": check, "split": split, "count": count, "out_of": out_of, "is_gate": is_gate}
