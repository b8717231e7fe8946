"""Scores of findings in regions: similarity of prompts to patches, and an objective's own presence head.

Shape suffixes: N studies, B images, R regions but the whole brain, A all regions of the atlas, P patches,
F findings, H findings of the own head, D embedding, K degrees of sharpness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.evaluation.grounding import average_precision
from stages.evaluation.grounding_inputs import patch_grid
from stages.evaluation.grounding_maps import read_images
from stages.evaluation.phrases import Prompts
from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.region_truth import RegionTruth
from stages.imaging.shards import VolumeStore
from stages.pretraining.embedding import embed_texts
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.own_heads import OwnHeads
from stages.pretraining.pairs import ImageTable, load_images
from stages.pretraining.region_labels import PRESENT
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.text_tower import load_text_inputs
from stages.pretraining.texts import TextInputs
from stages.pretraining.towers import Towers

FloatArray = np.ndarray


@dataclass(frozen=True)
class RegionPaths:
    """Where the parts of a cohort lie.

    Attributes:
        volumes: folder with ``volumes.parquet`` and its shards.
        texts: folder with pairs, prompts and their sentence embeddings.
        splits: ``splits.parquet``.
        truth: folder with studies and lesions.
        atlas: folder of ``register_atlas``.
    """

    volumes: Path
    texts: Path
    splits: Path
    truth: Path
    atlas: Path


@dataclass(frozen=True)
class RegionInputs:
    """Images of some splits, where their regions lie, and which findings lie there.

    Attributes:
        images: the images.
        store: their volumes.
        truth: the studies that count.
        prompts: prompts of each finding.
        text_inputs: the prompts as the text tower reads them.
    """

    images: ImageTable
    store: VolumeStore
    truth: RegionTruth
    prompts: Prompts
    text_inputs: TextInputs

    @classmethod
    def load(cls, towers: Towers, paths: RegionPaths, splits: Sequence[str]) -> RegionInputs:
        """Read the cohort.

        Args:
            towers: of any seed, as they say what an image and a patch is.
            paths: of the cohort.
            splits: splits to look at.
        """
        config = towers.config
        store = VolumeStore(paths.volumes)
        images = load_images(store.table, paths.texts, paths.splits, config.sequences, config.unit).only(set(splits))
        truth = RegionTruth.load(paths.truth, paths.atlas, paths.texts, images, patch_grid(towers).grid)
        return cls(images, store, truth, Prompts.load(paths.texts), load_text_inputs(config.text, paths.texts))

    def open_bank(self, model: Path, num_sequences: int, max_resident_gib: float) -> ImageBank:
        """Open the images, standardised as the towers of an export expect them."""
        return ImageBank(
            self.store,
            self.images.series,
            num_sequences,
            standardise_by=Standardiser.load(model),
            max_resident_gib=max_resident_gib,
        )

    def finding_vectors(self, towers: Towers, batch_size: int) -> FloatArray:
        """Normalised mean of each finding's positive prompts, themselves normalised. Shape (F, D)."""
        rows = np.arange(self.prompts.num_prompts)
        embedded_MD = embed_texts(towers, self.text_inputs, "prompt", rows, batch_size)
        by_finding = self.prompts.vectors(embedded_MD, is_difference=False)
        return np.stack([by_finding[finding] for finding in self.truth.findings])


@dataclass(frozen=True)
class SeedScores:
    """Scores of the studies by one seed of an objective.

    Attributes:
        shared_KNFR: cosine with the prompts, pooled over regions by every degree of sharpness; None for an
            objective that shares no space with texts.
        own_NFR: log-odds of the objective's own head, None without one.
        shuffled_NFR: the same with the regions exchanged.
    """

    shared_KNFR: FloatArray | None
    own_NFR: FloatArray | None
    shuffled_NFR: FloatArray | None


@torch.inference_mode()
def score_studies(
    towers: Towers, bank: ImageBank, inputs: RegionInputs, heads: OwnHeads | None, params: RegionsParams, seed: int
) -> SeedScores:
    """Score every finding in every region of every study; a study with several images by their mean.

    Args:
        towers: of the seed.
        bank: images, in the order of ``inputs.images``.
        inputs: of the cohort.
        heads: the objective's own, None without.
        params: of the evaluation.
        seed: of the pretraining; each has a control of its own.
    """
    truth = inputs.truth
    vectors_FD = None
    if towers.config.aligns_text:
        vectors_FD = torch.from_numpy(inputs.finding_vectors(towers, params.batch_size)).double()
    shuffled_NAP = shuffle_regions(truth.weight_NAP, truth.places_R, [params.shuffle_seed, seed])
    order_F = None if heads is None else head_columns(heads, truth.findings)
    sums = _Sums(len(truth.study_ids))
    number_of = {study_id: number for number, study_id in enumerate(truth.study_ids)}
    rows = [row for row, study_id in enumerate(inputs.images.study_ids) if study_id in number_of]
    for first in range(0, len(rows), params.batch_size):
        batch = rows[first : first + params.batch_size]
        studies_B = np.array([number_of[inputs.images.study_ids[row]] for row in batch])
        image_BD, patch_BPD = towers.image.embed(*read_images(bank, batch))  # type: ignore[operator]
        weight_BAP = torch.from_numpy(truth.weight_NAP[studies_B])
        if vectors_FD is not None:
            cosine_BPF = functional.normalize(patch_BPD.double(), dim=-1) @ vectors_FD.T
            weight_BRP = weight_BAP[:, truth.places_R].double()
            pooled = [pool(cosine_BPF, weight_BRP, sharpness) for sharpness in params.sharpness]
            sums.add("shared", studies_B, torch.stack(pooled, dim=1))
        if heads is not None:
            given = {"own": weight_BAP, "shuffled": torch.from_numpy(shuffled_NAP[studies_B])}
            for name, placed_BAP in given.items():
                logits_BHA = heads.objective.presence_logits(image_BD, patch_BPD, placed_BAP)
                sums.add(name, studies_B, logits_BHA[:, order_F][:, :, truth.places_R])
    shared_NKFR = sums.mean("shared")
    shared_KNFR = None if shared_NKFR is None else np.moveaxis(shared_NKFR, 1, 0)
    return SeedScores(shared_KNFR, sums.mean("own"), sums.mean("shuffled"))


def pool(values_BPF: Tensor, weight_BRP: Tensor, sharpness: float) -> Tensor:
    """Pool values of patches over regions: log(Σ w·exp(s·v) / Σ w) / s, the weighted mean for s = 0.

    Args:
        values_BPF: values in [-1, 1].
        weight_BRP: share of each patch in each region.
        sharpness: s, at least 0; the result grows with it from the mean to the largest value.

    Returns:
        Shape (B, F, R), 0 for a region without weight.
    """
    total_BR1 = weight_BRP.sum(dim=-1, keepdim=True)
    share_BRP = weight_BRP / total_BR1.clamp(min=torch.finfo(weight_BRP.dtype).tiny)
    if sharpness == 0:
        return (share_BRP @ values_BPF).transpose(1, 2)
    top_B1F = values_BPF.amax(dim=1, keepdim=True)
    mean_BRF = share_BRP @ (sharpness * (values_BPF - top_B1F)).exp()
    pooled_BRF = mean_BRF.log() / sharpness + top_B1F
    return pooled_BRF.masked_fill(total_BR1 == 0, 0.0).transpose(1, 2)


def best_sharpness(shared_KNFR: FloatArray, truth: RegionTruth, split: str) -> tuple[int, FloatArray]:
    """Choose the pooling that ranks the regions of findings best, by mean average precision.

    Args:
        shared_KNFR: scores by every degree of sharpness.
        truth: of the studies.
        split: studies to choose on.

    Returns:
        Number of the degree, the first of equals and without cases; and the mean of each, NaN without cases.
    """
    is_here = truth.is_cell & (truth.splits == split)[:, None, None]
    is_present = is_here & (truth.labels_NFR == PRESENT)
    cases = np.argwhere(is_present.any(axis=2))
    if not len(cases):
        return 0, np.full(len(shared_KNFR), np.nan)
    known = [(n, f, is_here[n, f]) for n, f in cases]
    means_K = np.array(
        [
            np.mean(
                [
                    average_precision(scores_NFR[n, f][is_here_R], is_present[n, f][is_here_R])
                    for n, f, is_here_R in known
                ]
            )
            for scores_NFR in shared_KNFR
        ]
    )
    return int(means_K.argmax()), means_K


def shuffle_regions(weight_NAP: FloatArray, places_R: np.ndarray, seed: Sequence[int]) -> FloatArray:
    """Exchange the weights of the regions that each study shows, in an order of its own.

    Args:
        weight_NAP: share of each patch in each region.
        places_R: the regions that are exchanged; others stay.
        seed: of the orders, which depend on the number of the study and not on its id.
    """
    random = np.random.default_rng(list(seed))
    shuffled_NAP = weight_NAP.copy()
    for number, weight_AP in enumerate(weight_NAP):
        shown = places_R[weight_AP[places_R].any(axis=1)]
        shuffled_NAP[number, shown] = weight_AP[random.permutation(shown)]
    return shuffled_NAP


def head_columns(heads: OwnHeads, findings: Sequence[str]) -> list[int]:
    """Columns of findings in the answers of a head.

    Raises:
        ValueError: if the head does not know one of them.
    """
    known = {finding: column for column, finding in enumerate(heads.facts.findings)}
    if missing := sorted(set(findings) - set(known)):
        raise ValueError(f"presence head: trained without {missing}; rerun encode_texts and pretrain (`dvc repro`)")
    return [known[finding] for finding in findings]


class _Sums:
    """Sums of scores over the images of each study."""

    def __init__(self, num_studies: int) -> None:
        self._num_studies = num_studies
        self._totals: dict[str, FloatArray] = {}
        self._counts: dict[str, FloatArray] = {}

    def add(self, name: str, studies_B: np.ndarray, values: Tensor) -> None:
        """Add the scores of a batch of images."""
        if name not in self._totals:
            self._totals[name] = np.zeros((self._num_studies, *values.shape[1:]))
            self._counts[name] = np.zeros(self._num_studies)
        np.add.at(self._totals[name], studies_B, values.double().numpy())
        np.add.at(self._counts[name], studies_B, 1)

    def mean(self, name: str) -> FloatArray | None:
        """Mean over images, None where nothing was added. Shape (N, ...)."""
        if name not in self._totals:
            return None
        total = self._totals[name]
        return total / self._counts[name].reshape(-1, *[1] * (total.ndim - 1))
