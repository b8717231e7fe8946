"""Images, lesions and phrases of a cohort brought together: what has to be found, and by which words.

Shape suffixes: X stands for the spatial axes of the volume grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stages.artifacts import mask_tables, tables, tensors
from stages.evaluation.grounding import PatchGrid, Target
from stages.evaluation.localisation import PROMPT, SENTENCE, Case
from stages.evaluation.phrases import Prompts, StatedSentences
from stages.imaging.quality import head_mask
from stages.imaging.shards import VolumeStore
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import NO_TEXT, ImageTable, load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.text_tower import load_text_inputs
from stages.pretraining.texts import TextInputs
from stages.pretraining.towers import Towers


@dataclass(frozen=True)
class GroundingPaths:
    """Where the parts of a cohort lie.

    Attributes:
        volumes: folder with ``volumes.parquet`` and its shards.
        texts: folder with texts, pairs, prompts and sentence embeddings.
        findings: ``findings.parquet``.
        splits: ``splits.parquet``.
        masks: folder with ``masks.parquet`` and ``masks.safetensors``.
    """

    volumes: Path
    texts: Path
    findings: Path
    splits: Path
    masks: Path


class LesionMasks:
    """Lesions of every study on the volume grid.

    Args:
        folder: with ``masks.parquet`` and ``masks.safetensors``.
    """

    def __init__(self, folder: Path) -> None:
        self._voxels = folder / mask_tables.MASK_MAPS
        self._lesions: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for row in tables.read(folder / mask_tables.MASK_TABLE, mask_tables.MASKS).to_pylist():
            of_study = self._lesions.setdefault(row["study_id"], {})
            of_study.setdefault(row["finding"], []).append((row["label"], row["volume_ml"]))

    def findings(self, study_id: str) -> dict[str, float]:
        """Volume in ml of each finding of a study, all its lesions together."""
        of_study = self._lesions.get(study_id, {})
        return {finding: sum(volume for _, volume in lesions) for finding, lesions in of_study.items()}

    def mask(self, study_id: str, finding: str) -> np.ndarray:
        """Voxels of all lesions of one finding of a study. Shape (X)."""
        labels = [label for label, _ in self._lesions[study_id][finding]]
        return np.isin(tensors.read(self._voxels, [study_id])[study_id], labels)


@dataclass(frozen=True)
class GroundingInputs:
    """What has to be found in the images of some splits, and the phrases for it.

    Attributes:
        images: images of the splits.
        store: their volumes.
        masks: their lesions.
        cases: a row for each finding of a study that has a mask, in the order of the images.
        text_inputs: prompts and sentences as the text tower reads them.
        prompts: prompts of each finding.
        sentences: for each case, rows of the sentences in which its report states the finding.
    """

    images: ImageTable
    store: VolumeStore
    masks: LesionMasks
    cases: list[Case]
    text_inputs: TextInputs
    prompts: Prompts
    sentences: list[list[int]]

    @classmethod
    def load(cls, towers: Towers, paths: GroundingPaths, splits: Sequence[str]) -> GroundingInputs:
        """Read the cohort and find the cases of some splits.

        Args:
            towers: of any objective, as they say what an image and a patch is.
            paths: of the cohort.
            splits: splits to look at.
        """
        config = towers.config
        store, masks = VolumeStore(paths.volumes), LesionMasks(paths.masks)
        images = load_images(store.table, paths.texts, paths.splits, config.sequences, config.unit).only(set(splits))
        cases = find_cases(images, store, masks, patch_grid(towers))
        texts = [_texts_of(case, images) for case in cases]
        stated = StatedSentences.load(paths.texts, paths.findings, {text_id for own in texts for text_id in own})
        return cls(
            images,
            store,
            masks,
            cases,
            load_text_inputs(config.text, paths.texts),
            Prompts.load(paths.texts),
            [stated.of(own, case.finding) for own, case in zip(texts, cases, strict=True)],
        )

    def has_phrase(self, kind: str) -> np.ndarray:
        """Which cases have a phrase of a kind. Shape (cases,)."""
        found = {
            PROMPT: [case.finding in self.prompts.positive for case in self.cases],
            SENTENCE: [bool(of_case) for of_case in self.sentences],
        }
        return np.array(found[kind], dtype=bool)

    def open_bank(self, model: Path, num_sequences: int, max_resident_gib: float) -> ImageBank:
        """Open the images, standardised as the towers of an export expect them."""
        standardiser = Standardiser.load(model)
        series = self.images.series
        return ImageBank(
            self.store, series, num_sequences, standardise_by=standardiser, max_resident_gib=max_resident_gib
        )


def find_cases(images: ImageTable, store: VolumeStore, masks: LesionMasks, grid: PatchGrid) -> list[Case]:
    """List the findings with a mask of every study, with the images of the study."""
    rows_of: dict[str, list[int]] = {}
    for row, study_id in enumerate(images.study_ids):
        rows_of.setdefault(study_id, []).append(row)
    cases = []
    for study_id, rows in rows_of.items():
        volumes_ml = masks.findings(study_id)
        if not volumes_ml:
            continue
        is_head_X = find_head(store, [series for row in rows for series in images.series[row].values()])
        for finding, volume_ml in volumes_ml.items():
            target = Target.of(masks.mask(study_id, finding), is_head_X, grid)
            about = study_id, images.patient_ids[rows[0]], images.splits[rows[0]], finding
            cases.append(Case(*about, volume_ml, tuple(rows), target))
    return cases


def find_head(store: VolumeStore, series: Sequence[str]) -> np.ndarray:
    """Voxels that at least half of a study's volumes take for head; noise in one is outvoted. Shape (X)."""
    votes_X = np.sum([head_mask(store.read(series_id)) for series_id in series], axis=0)
    return 2 * votes_X >= len(series)


@torch.inference_mode()
def patch_grid(towers: Towers) -> PatchGrid:
    """Patches that an image encoder tells apart: the grid of the feature map with as many positions.

    Raises:
        ValueError: if no feature map has as many positions as there are patch embeddings.
    """
    config = towers.config
    size = len(config.sequences)
    inputs = torch.zeros(1, size, *config.shape), torch.ones(1, size, dtype=torch.bool)
    num_patches = towers.image.encode_patches(*inputs).shape[1]  # type: ignore[operator]
    grids = [tuple(part.shape[2:]) for part in towers.image.feature_maps(*inputs)]  # type: ignore[operator]
    for grid in grids:
        if math.prod(grid) == num_patches:
            return PatchGrid(tuple(config.shape), grid)
    raise ValueError(f"image encoder: {num_patches} patch embeddings, expected as many as one of the maps {grids} has")


def _texts_of(case: Case, images: ImageTable) -> list[int]:
    """Texts that describe the images of a case, each once."""
    text_ids = images.text_ids_N[list(case.rows)].tolist()
    return list(dict.fromkeys(text_id for text_id in text_ids if text_id != NO_TEXT))
