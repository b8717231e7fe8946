"""Training of answering heads, one for each pretraining seed, and their answers.

Shape suffixes: B questions of a batch, Q asked questions, K kinds of question, A answers, E width of the
sentence encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.evaluation.answering import AnsweringHead, StudyEmbeddings, embed_studies
from stages.evaluation.questions import TRAIN, QuestionSet, Studies
from stages.params import Params
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.optimisation import OptimiserParams, build_optimiser, learning_rate
from stages.pretraining.phrases import Phrases
from stages.pretraining.towers import seeded

_HEAD_STREAM, _ORDER_STREAM = 51, 52


class HeadParams(Params):
    """The answering head and its training, the same for every method.

    Attributes:
        width: of the head.
        num_heads: of its attention over patches.
        updates: optimiser steps.
        batch_size: questions of a step.
        optimiser: AdamW and its schedule.
    """

    width: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    updates: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimiser: OptimiserParams


@dataclass(frozen=True)
class HeadTrainer:
    """Trains answering heads on the studies and questions that all of them have in common.

    Attributes:
        bank: images.
        studies: studies of the same images.
        asked: questions about them.
        phrases: wordings of the questions.
        params: of the head.
        batch_size: images, and answered questions, at a time.
    """

    bank: ImageBank
    studies: Studies
    asked: QuestionSet
    phrases: Phrases
    params: HeadParams
    batch_size: int

    def run(self, encoders: Mapping[int, nn.Module], *, is_blind: bool, num_threads: int) -> dict[int, np.ndarray]:
        """Train a head for the encoder of every seed, and let it answer every question.

        Each training runs on one thread and draws from no shared generator, so that its result does
        not depend on what runs beside it.

        Args:
            encoders: image encoder of each pretraining seed.
            is_blind: whether heads see zeros in the place of every image.
            num_threads: trainings at a time.

        Returns:
            By seed, the number of the answer to each question. Shape (Q,).
        """
        torch.set_num_threads(1)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoders = {seed: encoder.to(device) for seed, encoder in encoders.items()}
        # Drawn before any training starts: torch's generator is one for all threads.
        heads = {seed: self._draw_head(encoder, seed).to(device) for seed, encoder in encoders.items()}

        def answer(seed: int) -> np.ndarray:
            embeddings = embed_studies(encoders[seed], self.bank, self.studies, self.batch_size)
            embeddings.standardise(self._training_studies)
            training = HeadTraining(self, heads[seed], embeddings.blind() if is_blind else embeddings, seed)
            training.train()
            return training.answer()

        with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return dict(zip(encoders, pool.map(answer, encoders), strict=True))

    @property
    def training_rows(self) -> np.ndarray:
        """Questions about training studies."""
        return np.flatnonzero(np.array(self.studies.splits)[self.asked.study_Q] == TRAIN)

    @property
    def _training_studies(self) -> np.ndarray:
        return np.unique(self.asked.study_Q[self.training_rows])

    def _draw_head(self, encoder: nn.Module, seed: int) -> AnsweringHead:
        """Draw a head, the same for every method of a seed."""
        first = embed_studies(encoder, self.bank, self.studies.only([0]), 1)
        with seeded(seed, _HEAD_STREAM):
            return AnsweringHead(
                question_dim=self.phrases.embedding_KE.shape[1],
                embedding_dim=first.patch_NPD.shape[2],
                num_patches=first.patch_NPD.shape[1],
                num_answers=len(self.asked.vocabulary.answers),
                width=self.params.width,
                num_heads=self.params.num_heads,
            )


class HeadTraining:
    """One head in training."""

    def __init__(self, trainer: HeadTrainer, head: AnsweringHead, embeddings: StudyEmbeddings, seed: int) -> None:
        """Set up a training.

        Args:
            trainer: of all heads.
            head: as it was drawn.
            embeddings: of the studies, standardised.
            seed: of the order of questions.
        """
        self._trainer, self._head, self._embeddings, self._seed = trainer, head, embeddings, seed
        self._phrases_E = torch.from_numpy(trainer.phrases.embedding_KE)
        self._is_answer_KA = torch.from_numpy(trainer.asked.vocabulary.is_possible)
        self._kind_Q = trainer.asked.kinds
        # Used again at every step: memory of this size is slow to get.
        size = max(trainer.params.batch_size, trainer.batch_size)
        self._stored_BPD = embeddings.patch_NPD.new_empty(size, *embeddings.patch_NPD.shape[1:])
        self._patch_BPD = torch.empty(self._stored_BPD.shape)

    def train(self) -> None:
        """Train on the questions about training studies, for a fixed number of updates."""
        params, asked = self._trainer.params, self._trainer.asked
        optimiser = build_optimiser(params.optimiser, [self._head])
        trained = list(self._head.parameters())
        self._head.train()
        for step, (rows_B, phrases_B) in enumerate(self._batches()):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(params.optimiser, step, params.updates)
            optimiser.zero_grad(set_to_none=True)
            logits_BA = self._logits(rows_B, phrases_B)
            answer_B = torch.from_numpy(asked.answer_Q[rows_B]).to(logits_BA.device)
            functional.cross_entropy(logits_BA, answer_B).backward()
            nn.utils.clip_grad_norm_(trained, params.optimiser.max_gradient_norm)
            optimiser.step()

    @torch.inference_mode()
    def answer(self) -> np.ndarray:
        """Answer every question, each in its held-out wording. Shape (Q,)."""
        asked, size = self._trainer.asked, self._trainer.batch_size
        self._head.eval()
        parts = [
            self._logits(rows_B, asked.phrase_Q[rows_B]).argmax(dim=1).cpu().numpy()
            for rows_B in np.split(np.arange(len(asked)), range(size, len(asked), size))
        ]
        return np.concatenate(parts)

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield questions and their wordings, every question once before any is met again."""
        trainer = self._trainer
        random = np.random.default_rng([self._seed, _ORDER_STREAM])
        rows = trainer.training_rows
        size = min(trainer.params.batch_size, len(rows))
        num_orders = math.ceil(size * trainer.params.updates / len(rows))
        order = np.concatenate([random.permutation(rows) for _ in range(num_orders)])
        trained = [trainer.phrases.questions[question].trained for question in trainer.asked.questions]
        width = max(map(len, trained))
        phrases_GW = np.array([[own[place % len(own)] for place in range(width)] for own in trained])
        for first in range(0, size * trainer.params.updates, size):
            rows_B = order[first : first + size]
            yield rows_B, phrases_GW[trainer.asked.question_Q[rows_B], random.integers(width, size=size)]

    def _logits(self, rows_B: np.ndarray, phrases_B: np.ndarray) -> Tensor:
        device = self._head.position.device
        study_B = torch.from_numpy(self._trainer.asked.study_Q[rows_B])
        inputs = (
            self._phrases_E[torch.from_numpy(phrases_B)],
            self._patches(study_B),
            self._embeddings.image_ND[study_B],
            self._is_answer_KA[torch.from_numpy(self._kind_Q[rows_B])],
        )
        return self._head(*(part.to(device) for part in inputs))

    def _patches(self, study_B: Tensor) -> Tensor:
        """Patch embeddings of some studies, until the next call. Shape (B, P, D)."""
        stored_BPD = self._stored_BPD[: len(study_B)]
        torch.index_select(self._embeddings.patch_NPD, 0, study_B, out=stored_BPD)
        return self._patch_BPD[: len(study_B)].copy_(stored_BPD)
