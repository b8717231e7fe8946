"""A classifier that is an image encoder and a linear head, and its training on some labelled images.

Shapes: I images, B images of a batch, S sequences, C classes, D embedding; X stands for the spatial axes.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params
from stages.pretraining.augmentation import AugmentationParams, BatchWriter, Draws
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.optimisation import OptimiserParams, build_optimiser, learning_rate

FloatArray = np.ndarray

_ORDER_STREAM = 31
_MIN_DEVIATION = 1e-6


class TrainingParams(Params):
    """Length and steps of one training.

    Attributes:
        passes: how often a training meets each labelled image, within the next two limits.
        min_updates: optimiser steps at least.
        max_updates: optimiser steps at most.
        batch_size: images of a step.
        num_checkpoints: evenly spaced points of a training that validation chooses from; the last is its end.
        optimiser: AdamW and its schedule.
        augmentation: of the images, as in pretraining.
    """

    passes: int = Field(ge=1)
    min_updates: int = Field(ge=1)
    max_updates: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    num_checkpoints: int = Field(ge=1)
    optimiser: OptimiserParams
    augmentation: AugmentationParams = AugmentationParams()

    def num_updates(self, num_images: int) -> int:
        """Optimiser steps of a training on so many images."""
        wanted = math.ceil(self.passes * num_images / self.batch_size)
        return min(max(wanted, self.min_updates), self.max_updates)

    def checkpoints(self, num_updates: int) -> set[int]:
        """Numbers of updates after which a training is compared with itself."""
        return {math.ceil(num_updates * (k + 1) / self.num_checkpoints) for k in range(self.num_checkpoints)}


@dataclass(frozen=True)
class Start:
    """An exported encoder, and what its embeddings of training images are before any update.

    Attributes:
        encoder: copied for every training.
        mean_D: mean of the embeddings.
        deviation_D: their standard deviation, 1 where it vanishes.
    """

    encoder: nn.Module
    mean_D: FloatArray
    deviation_D: FloatArray

    @classmethod
    def measure(cls, encoder: nn.Module, embeddings_ID: FloatArray) -> Start:
        """Measure embeddings of training images."""
        deviation_D = embeddings_ID.std(axis=0)
        deviation_D[deviation_D < _MIN_DEVIATION] = 1.0
        return cls(encoder, embeddings_ID.mean(axis=0), deviation_D)


class Classifier(nn.Module):
    """An image encoder and a linear head on its embedding, which is standardised as it was at the start."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, start: Start, prior_C: FloatArray) -> None:
        """Copy an encoder; the head gives every image the prior log odds of each class at first."""
        super().__init__()
        self.encoder = copy.deepcopy(start.encoder).requires_grad_(True)
        self.head = nn.utils.skip_init(nn.Linear, len(start.mean_D), len(prior_C))
        self.register_buffer("mean", torch.from_numpy(start.mean_D))
        self.register_buffer("deviation", torch.from_numpy(start.deviation_D))
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.from_numpy(prior_C))

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Return the log odds of each class. Shape (B, C)."""
        return self.head((self.encoder(volumes_BSX, is_present_BS) - self.mean) / self.deviation)


@dataclass(frozen=True)
class Lesson:
    """Labelled images of one training.

    Attributes:
        seed: of order and augmentation.
        images: rows of the images in their bank. Shape (I,).
        labels_IC: 1 or 0; what it holds where the label is not known is ignored.
        is_known_IC: which labels are known.
    """

    seed: int
    images: np.ndarray
    labels_IC: FloatArray
    is_known_IC: np.ndarray

    def prior(self) -> FloatArray:
        """Log odds of each class among the known labels, with one more of each. Shape (C,)."""
        positive_C = (self.labels_IC * self.is_known_IC).sum(axis=0)
        return np.log((positive_C + 1) / (self.is_known_IC.sum(axis=0) - positive_C + 1)).astype(np.float32)

    def batches(self, batch_size: int, num_updates: int) -> Iterator[np.ndarray]:
        """Yield positions of images, each met once before any is met again; a function of the seed."""
        random = np.random.default_rng([self.seed, _ORDER_STREAM])
        size = min(batch_size, len(self.images))
        num_orders = math.ceil(size * num_updates / len(self.images))
        order = np.concatenate([random.permutation(len(self.images)) for _ in range(num_orders)])
        for step in range(num_updates):
            yield order[step * size : (step + 1) * size]


def masked_loss(logits_BC: Tensor, labels_BC: Tensor, is_known_BC: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over the entries that are known; 0 if none is."""
    loss_BC = functional.binary_cross_entropy_with_logits(logits_BC, labels_BC, reduction="none")
    weights_BC = is_known_BC.to(loss_BC.dtype)
    return (loss_BC * weights_BC).sum() / weights_BC.sum().clamp(min=1)


class Trainer:
    """Trains classifiers on the images of one bank; may be used by several threads at a time.

    No generator is shared, so that a training does not depend on what runs beside it.
    """

    def __init__(self, bank: ImageBank, params: TrainingParams) -> None:
        self._bank, self._params = bank, params
        self._local = threading.local()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def predict(self, model: nn.Module, images: np.ndarray) -> FloatArray:
        """Apply a model to images as they are, in batches. Shape (images, its output)."""
        parts = []
        for first in range(0, len(images), self._params.batch_size):
            picked = images[first : first + self._params.batch_size]
            draws = Draws.none(self._bank.is_present_NS[picked], len(self._bank.shape))
            parts.append(model(*self._inputs(picked, draws)).float().cpu())
        return torch.cat(parts).numpy()

    def start(self, encoder: nn.Module, images: np.ndarray) -> Start:
        """Measure an encoder, on the device of the trainings, by its embeddings of training images."""
        encoder = encoder.to(self._device).eval()
        return Start.measure(encoder, self.predict(encoder, images))

    def train(self, start: Start, lesson: Lesson, judge: Callable[[nn.Module], float]) -> Classifier:
        """Train a classifier on a lesson, and return it as it was at its best checkpoint.

        Args:
            start: where the encoder comes from.
            lesson: what it learns.
            judge: figure of merit of a checkpoint; the earliest of the best is kept, the last one where
                the figure is NaN.
        """
        model = Classifier(start, lesson.prior()).to(self._device)
        optimiser = build_optimiser(self._params.optimiser, [model])
        num_updates = self._params.num_updates(len(lesson.images))
        checkpoints = self._params.checkpoints(num_updates)
        best, weights = -math.inf, model.state_dict()
        for step, positions_B in enumerate(lesson.batches(self._params.batch_size, num_updates)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(self._params.optimiser, step, num_updates)
            self._update(model, optimiser, lesson, positions_B, step)
            if step + 1 in checkpoints:
                merit = judge(model.eval())
                if math.isnan(merit) or merit > best:
                    best, weights = merit, copy.deepcopy(model.state_dict())
        model.load_state_dict(weights)
        return model.eval()

    def _update(
        self, model: Classifier, optimiser: torch.optim.Optimizer, lesson: Lesson, positions_B: np.ndarray, step: int
    ) -> None:
        images = lesson.images[positions_B]
        is_present_BS = self._bank.is_present_NS[images]
        draws = Draws.of_step(
            self._params.augmentation, is_present_BS, len(self._bank.shape), seed=lesson.seed, step=step
        )
        optimiser.zero_grad(set_to_none=True)
        logits_BC = model.train()(*self._inputs(images, draws))
        labels_BC = torch.from_numpy(lesson.labels_IC[positions_B]).to(self._device)
        is_known_BC = torch.from_numpy(lesson.is_known_IC[positions_B]).to(self._device)
        masked_loss(logits_BC, labels_BC, is_known_BC).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), self._params.optimiser.max_gradient_norm)
        optimiser.step()

    def _inputs(self, images: np.ndarray, draws: Draws) -> tuple[Tensor, Tensor]:
        if not hasattr(self._local, "writer"):
            self._local.writer = BatchWriter(self._bank, self._params.batch_size)
        volumes_BSX = torch.from_numpy(self._local.writer.write(images, draws))
        return volumes_BSX.to(self._device), torch.from_numpy(draws.is_kept_BS).to(self._device)
