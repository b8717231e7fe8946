"""Training of segmentation networks: one for each pretraining seed and share of the masks.

Shape suffixes: B images, I images of all, S sequences; X stands for the spatial axes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor, nn

from stages.evaluation.masks import MaskedCohort
from stages.evaluation.segmentation import (
    TRAIN,
    VALIDATION,
    SegmentationParams,
    Verdict,
    choose_threshold,
    draw_studies,
    judge,
)
from stages.evaluation.segmenter import Decoder, MapScale, Segmenter
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.optimisation import build_optimiser, learning_rate
from stages.pretraining.standardisation import STEP
from stages.pretraining.towers import seeded

_DECODER_STREAM, _ORDER_STREAM = 41, 42
# Training images that the scale of feature maps is measured on, at most.
_MAX_MEASURED = 256
_VALUE_BYTES, _GIB = 4, 2**30


@dataclass(frozen=True)
class Start:
    """What all trainings of one seed have in common.

    Attributes:
        encoder: as it was exported.
        scale: of its feature maps.
        maps: feature maps of every image that is needed, where they stay as they are and fit in memory.
    """

    encoder: nn.Module
    scale: MapScale
    maps: list[Tensor] | None


@dataclass(frozen=True)
class Job:
    """One training: on which studies, and the network before it."""

    seed: int
    label_fraction: float
    studies: np.ndarray
    start: Start
    network: Segmenter


class SegmentationTrainer:
    """Trains and judges segmentation networks on the images of one cohort."""

    def __init__(self, bank: ImageBank, cohort: MaskedCohort, params: SegmentationParams) -> None:
        """Set up a cohort.

        Args:
            bank: the images.
            cohort: studies of the same images, with their masks.
            params: of the trainings.
        """
        self._bank, self._cohort, self._params = bank, cohort, params
        self._is_frozen = params.tuning == "frozen"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        needed = [TRAIN, VALIDATION, *params.splits]
        self._rows_I = self._rows_of(np.flatnonzero(np.isin(cohort.splits, needed)))
        self._place = {int(row): place for place, row in enumerate(self._rows_I)}

    def run(self, encoders: Mapping[int, nn.Module]) -> list[Verdict]:
        """Train on every encoder with every share of the masks, and judge.

        Each training runs on one thread and draws from no shared generator, so that its result does
        not depend on what runs beside it.

        Args:
            encoders: image encoder of each pretraining seed.

        Returns:
            A verdict for each seed and fraction; none where no training study has a lesion.
        """
        params = self._params
        drawn = {
            (seed, fraction): draw_studies(self._cohort, fraction, draw=seed, draw_seed=params.draw_seed)
            for seed in encoders
            for fraction in params.label_fractions
        }
        if not all(len(studies) for studies in drawn.values()):
            return []
        num_gib_each = params.max_resident_gib / len(encoders)
        torch.set_num_threads(1)
        with ThreadPoolExecutor(params.num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            starts = dict(
                zip(encoders, pool.map(lambda own: self._start(own, num_gib_each), encoders.values()), strict=True)
            )
            # Drawn before any training starts: torch's generator is one for all threads.
            jobs = [
                Job(seed, fraction, studies, starts[seed], self._draw_network(starts[seed], seed))
                for (seed, fraction), studies in drawn.items()
            ]
            return list(pool.map(self._train_and_judge, jobs))

    def _rows_of(self, studies: np.ndarray) -> np.ndarray:
        return np.array([row for study in studies for row in self._cohort.rows[study]], dtype=np.int64)

    def _inputs(self, rows_B: np.ndarray) -> tuple[Tensor, Tensor]:
        """Standardised intensities (B, S, X), 0 where a sequence is absent, and presence (B, S)."""
        volumes_BSX = torch.from_numpy(np.stack([self._bank.image(row) for row in rows_B]))
        is_present_BS = torch.from_numpy(self._bank.is_present_NS[rows_B])
        return volumes_BSX.to(self._device).float() * STEP, is_present_BS.to(self._device)

    @torch.no_grad()
    def _start(self, encoder: nn.Module, max_gib: float) -> Start:
        encoder = encoder.to(self._device).eval()
        train = self._rows_of(self._cohort.studies_of(TRAIN))
        measured = train[np.linspace(0, len(train) - 1, min(len(train), _MAX_MEASURED)).astype(np.int64)]
        num_values = sum(math.prod(values.shape[1:]) for values in self._maps_of(encoder, measured[:1]))
        if not self._is_frozen or _VALUE_BYTES * num_values * len(self._rows_I) > max_gib * _GIB:
            return Start(encoder, MapScale.fit(self._maps_of(encoder, measured)), None)
        maps = self._maps_of(encoder, self._rows_I)
        scale = MapScale.fit([values[[self._place[int(row)] for row in measured]] for values in maps])
        return Start(encoder, scale, scale.apply(maps))

    def _maps_of(self, encoder: nn.Module, rows: np.ndarray) -> list[Tensor]:
        parts = [encoder.feature_maps(*self._inputs(batch)) for batch in self._split(rows)]  # type: ignore[operator]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _split(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        for first in range(0, len(rows), self._params.batch_size):
            yield rows[first : first + self._params.batch_size]

    def _draw_network(self, start: Start, seed: int) -> Segmenter:
        """Put a decoder on an encoder, the same for every method and fraction of a seed."""
        num_sequences = self._bank.is_present_NS.shape[1]
        with seeded(seed, _DECODER_STREAM):
            decoder = Decoder(
                self._bank.shape,
                num_sequences,
                start.scale.shapes,
                width=self._params.width,
                stride=self._params.stride,
            )
        encoder = start.encoder if self._is_frozen else copy.deepcopy(start.encoder)
        return Segmenter(encoder.requires_grad_(not self._is_frozen), start.scale, decoder).to(self._device)

    def _train_and_judge(self, job: Job) -> Verdict:
        self._train(job)
        thresholds = self._params.thresholds
        threshold, best = choose_threshold(self._cohort, self._predict(job, [VALIDATION]), thresholds)
        cases = [
            case
            for study, probability_X in self._predict(job, self._params.splits)
            for case in judge(self._cohort, study, probability_X > threshold)
        ]
        return Verdict(job.seed, job.label_fraction, threshold, best, cases)

    def _train(self, job: Job) -> None:
        params = self._params
        optimiser = build_optimiser(params.optimiser, [job.network])
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        loss = DiceCELoss(sigmoid=True, batch=True)
        study_of = {row: study for study in job.studies for row in self._cohort.rows[study]}
        for step, rows_B in enumerate(self._batches(self._rows_of(job.studies), job.seed)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(params.optimiser, step, params.updates)
            true_BX = np.stack([self._cohort.is_lesion(study_of[row]) for row in rows_B])
            optimiser.zero_grad(set_to_none=True)
            logits_B1X = self._logits(job, rows_B)
            loss(logits_B1X, torch.from_numpy(true_BX).unsqueeze(1).to(logits_B1X)).backward()
            torch.nn.utils.clip_grad_norm_(trained, params.optimiser.max_gradient_norm)
            optimiser.step()

    def _batches(self, rows: np.ndarray, seed: int) -> Iterator[np.ndarray]:
        """Yield the images of every step, each met once before any is met again; a function of the seed."""
        random = np.random.default_rng([seed, _ORDER_STREAM])
        size = min(self._params.batch_size, len(rows))
        num_orders = math.ceil(size * self._params.updates / len(rows))
        order = np.concatenate([random.permutation(rows) for _ in range(num_orders)])
        for first in range(0, size * self._params.updates, size):
            yield order[first : first + size]

    def _logits(self, job: Job, rows_B: np.ndarray) -> Tensor:
        volumes_BSX, is_present_BS = self._inputs(rows_B)
        maps = None
        if job.start.maps is not None:
            places_B = [self._place[int(row)] for row in rows_B]
            maps = [values[places_B] for values in job.start.maps]
        return job.network(volumes_BSX, is_present_BS, maps)

    @torch.no_grad()
    def _predict(self, job: Job, splits: list[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield every study of some splits with its lesion probabilities (X), the mean over its images."""
        studies = np.flatnonzero(np.isin(self._cohort.splits, splits))
        for group in self._split(studies):
            probability_BX = self._logits(job, self._rows_of(group)).sigmoid()[:, 0].cpu().numpy()
            ends = np.cumsum([len(self._cohort.rows[study]) for study in group])
            for study, part_BX in zip(group, np.split(probability_BX, ends[:-1]), strict=True):
                yield int(study), part_BX.mean(axis=0)
