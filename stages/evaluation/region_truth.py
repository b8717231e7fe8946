"""Studies whose regions are known, and the findings that lie in them.

Shape suffixes: N studies, F findings, R regions but the whole brain, P patches.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts import atlas_tables, tables, truth_tables
from stages.evaluation.phrases import Prompts
from stages.imaging.region_store import Region, RegionStore
from stages.pretraining.pairs import ImageTable
from stages.pretraining.region_labels import ABSENT, PRESENT, UNKNOWN, WHOLE

logger = logging.getLogger(__name__)

_COLUMNS = ["study_id", "finding", "site", "side"]
_BOTH_SIDES = (None, "bilateral", "midline")


@dataclass(frozen=True)
class RegionTruth:
    """Where the findings of each study lie.

    Attributes:
        study_ids: studies with a registered atlas and known truth, in the order of the images.
        patient_ids: their patients.
        splits: their splits, shape (N,).
        findings: finding codes, in the order of F.
        regions: regions, in the order of R.
        places_R: number of each of them among all regions of the atlas.
        weight_NAP: share of each patch in every region of the atlas, A of them.
        labels_NFR: ``PRESENT``, ``ABSENT``, or ``UNKNOWN`` where the truth gives a finding of the study no region.
        left_out: studies of the splits that do not count, by reason.
    """

    study_ids: list[str]
    patient_ids: list[str]
    splits: np.ndarray
    findings: list[str]
    regions: list[Region]
    places_R: np.ndarray
    weight_NAP: np.ndarray
    labels_NFR: np.ndarray
    left_out: dict[str, int]

    @classmethod
    def load(cls, truth: Path, atlas: Path, texts: Path, images: ImageTable, grid: tuple[int, ...]) -> RegionTruth:
        """Read the lesions and the atlas of a cohort.

        Findings are those that have prompts and that some lesion of the cohort places in a region.

        Args:
            truth: folder of ``link_truth``.
            atlas: folder of ``register_atlas``.
            texts: folder with the prompts.
            images: images that count.
            grid: patches along each axis of an image.
        """
        lesions = tables.read(truth / "lesions.parquet", truth_tables.LINKED_LESIONS, _COLUMNS).to_pylist()
        known = set(tables.read(truth / "studies.parquet", truth_tables.LINKED_STUDIES, ["study_id"])[0].to_pylist())
        known |= {lesion["study_id"] for lesion in lesions}
        store = RegionStore.load(atlas, math.prod(grid))
        places = [number for number, region in enumerate(store.regions) if region.site != WHOLE]
        regions: list[Region] = [store.regions[number] for number in places]
        first = {study_id: row for row, study_id in reversed(list(enumerate(images.study_ids)))}
        listed = list(dict.fromkeys(images.study_ids))
        with_truth = [study_id for study_id in listed if study_id in known]
        study_ids = [study_id for study_id in with_truth if store.status.get(study_id) == atlas_tables.OK]
        placed = {lesion["finding"] for lesion in lesions if _regions_of(regions, lesion).any()}
        findings = [finding for finding in Prompts.load(texts).positive if finding in placed]
        return cls(
            study_ids,
            [images.patient_ids[first[study_id]] for study_id in study_ids],
            np.array([images.splits[first[study_id]] for study_id in study_ids], dtype=str),
            findings,
            regions,
            np.array(places, dtype=np.int64),
            store.weights(study_ids),
            place_lesions(lesions, study_ids, findings, regions),
            {"no_truth": len(listed) - len(with_truth), "not_registered": len(with_truth) - len(study_ids)},
        )

    @property
    def is_shown(self) -> np.ndarray:
        """Which regions the image of each study shows. Shape (N, R)."""
        return self.weight_NAP[:, self.places_R].any(axis=2)

    @property
    def is_cell(self) -> np.ndarray:
        """Findings and regions of each study that are known and shown. Shape (N, F, R)."""
        return (self.labels_NFR != UNKNOWN) & self.is_shown[:, None]

    def count(self, splits: Sequence[str]) -> dict[str, int]:
        """Count the studies of some splits."""
        return {split: int((self.splits == split).sum()) for split in splits}

    def frequencies(self, split: str) -> np.ndarray:
        """Share of the studies of a split in which each finding lies in each region. Shape (F, R)."""
        is_here = self.is_cell & (self.splits == split)[:, None, None]
        is_present = is_here & (self.labels_NFR == PRESENT)
        return is_present.sum(axis=0) / np.maximum(is_here.sum(axis=0), 1)


def place_lesions(
    lesions: Iterable[Mapping[str, Any]],
    study_ids: Sequence[str],
    findings: Sequence[str],
    regions: Sequence[Region],
) -> np.ndarray:
    """Tell which findings lie in which regions.

    A lesion lies in the regions of its site, on its side; on both sides if it is bilateral, at the midline
    or has no side. Whatever a study with known truth has no lesion of is absent. Of a finding with a lesion
    in no region (of the whole brain, or without a site), nothing is known in this study.

    Args:
        lesions: rows of ``lesions.parquet``.
        study_ids: studies with known truth.
        findings: finding codes.
        regions: regions of the atlas.

    Returns:
        ``PRESENT``, ``ABSENT`` or ``UNKNOWN``, int8. Shape (N, F, R).
    """
    row_of = {study_id: row for row, study_id in enumerate(study_ids)}
    column_of = {finding: column for column, finding in enumerate(findings)}
    labels_NFR = np.full((len(study_ids), len(findings), len(regions)), ABSENT, dtype=np.int8)
    for lesion in lesions:
        row, column = row_of.get(lesion["study_id"]), column_of.get(lesion["finding"])
        if row is not None and column is not None:
            is_meant_R = _regions_of(regions, lesion)
            labels_R = labels_NFR[row, column]
            if not is_meant_R.any():
                labels_R[:] = UNKNOWN
            labels_R[is_meant_R & (labels_R != UNKNOWN)] = PRESENT
    return labels_NFR


def _regions_of(regions: Sequence[Region], lesion: Mapping[str, Any]) -> np.ndarray:
    """Regions that a lesion lies in. Shape (R,)."""
    return np.array(
        [
            region.site == lesion["site"]
            and (region.side is None or lesion["side"] in _BOTH_SIDES or region.side == lesion["side"])
            for region in regions
        ],
        dtype=bool,
    )
