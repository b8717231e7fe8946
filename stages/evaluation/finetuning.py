"""Fine-tuning of one objective's image encoders: every seed under every budget of labels.

Every method starts from its own encoder, goes through the same studies in the same order under the same
augmentation, and takes as many updates. A training is kept as it was where the mean AUC on validation
studies was best; no other study is looked at before that choice.

Shapes: N studies, I images, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import nn

from stages.evaluation.classification import FINE_TUNING
from stages.evaluation.classifiers import Lesson, Start, Trainer, TrainingParams
from stages.evaluation.probes import Budget, has_both
from stages.evaluation.scorings import VALIDATION, Cohort, Scoring, mean_auc
from stages.pretraining.image_bank import ImageBank

FloatArray = np.ndarray


class FineTuningParams(TrainingParams):
    """Section ``evaluate_finetuning``; splits, draws and budgets are those of ``evaluate_classification``.

    Attributes:
        num_threads: trainings that run at a time, each on one CPU thread.
        max_resident_gib: images are held in memory up to this size.
    """

    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(default=4.0, ge=0)


@dataclass(frozen=True)
class Course:
    """One training: its budget, the classes that vary in the draw, and the labels drawn."""

    budget: Budget
    classes: list[str]
    lesson: Lesson


class FineTuner:
    """Trains and scores classifiers on the images of one cohort."""

    def __init__(
        self, bank: ImageBank, cohort: Cohort, splits: Sequence[str], params: FineTuningParams, *, draw_seed: int
    ) -> None:
        """Set up a cohort.

        Args:
            bank: the images.
            cohort: their studies, built from the same images.
            splits: splits to score, beside validation.
            params: of the trainings.
            draw_seed: of the draws of labels.
        """
        self._cohort, self._params, self._draw_seed = cohort, params, draw_seed
        self._trainer = Trainer(bank, params)
        self._is_train, self._groups = cohort.training()
        self._is_validation = cohort.splits == VALIDATION
        self._is_scored = np.isin(cohort.splits, [VALIDATION, *splits])

    def run(self, encoders: Mapping[int, nn.Module], budgets: Sequence[Budget]) -> list[Scoring]:
        """Fine-tune every encoder under every budget of labels.

        Args:
            encoders: encoder of each pretraining seed.
            budgets: labels to learn from; seed k takes the k-th draw.

        Returns:
            Scores of the studies in the given and the validation splits, NaN elsewhere. A budget under
            which no class has both labels has none.
        """
        courses = [course for seed in encoders for budget in budgets if (course := self._draw(seed, budget))]
        if not courses:
            return []
        training = self._images_of(self._is_train)
        torch.set_num_threads(1)
        with ThreadPoolExecutor(self._params.num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            starts = pool.map(lambda encoder: self._trainer.start(encoder, training), encoders.values())
            start_of = dict(zip(encoders, starts, strict=True))
            scores = pool.map(lambda course: self._score_course(start_of[course.lesson.seed], course), courses)
            return [
                Scoring(FINE_TUNING, course.lesson.seed, course.budget, None, course.classes, scores_NC)
                for course, scores_NC in zip(courses, scores, strict=True)
            ]

    def _draw(self, seed: int, budget: Budget) -> Course | None:
        cohort, studies = self._cohort, self._cohort.study_of_image
        labels_NC = cohort.labels[self._is_train]
        members_NC, _ = budget.draw(labels_NC, self._groups, seed=self._draw_seed, draw=seed)
        varies_C = has_both(np.nan_to_num(labels_NC), members_NC)
        if not varies_C.any():
            return None
        is_known_NC = np.zeros(cohort.labels.shape, dtype=bool)
        is_known_NC[self._is_train] = members_NC > 0
        is_known_NC = is_known_NC[:, varies_C]
        images = self._images_of(is_known_NC.any(axis=1))
        labels_NC = np.nan_to_num(cohort.labels[:, varies_C]).astype(np.float32)
        classes = [name for name, varies in zip(cohort.classes, varies_C, strict=True) if varies]
        lesson = Lesson(seed, images, labels_NC[studies[images]], is_known_NC[studies[images]])
        return Course(budget, classes, lesson)

    def _score_course(self, start: Start, course: Course) -> FloatArray:
        columns = [self._cohort.classes.index(name) for name in course.classes]
        labels_NC = self._cohort.labels[self._is_validation][:, columns]

        def judge(model: nn.Module) -> float:
            scores_NC = self._score(model, self._is_validation, len(columns))
            return mean_auc(scores_NC[self._is_validation], labels_NC)

        return self._score(self._trainer.train(start, course.lesson, judge), self._is_scored, len(columns))

    def _score(self, model: nn.Module, is_asked_N: np.ndarray, num_classes: int) -> FloatArray:
        """Scores of the studies asked for, NaN for the others. Shape (N, C)."""
        images = self._images_of(is_asked_N)
        logits_IC = np.full((len(self._cohort.study_of_image), num_classes), np.nan)
        if len(images):
            logits_IC[images] = self._trainer.predict(model, images)
        return self._cohort.pool(logits_IC)

    def _images_of(self, is_asked_N: np.ndarray) -> np.ndarray:
        return np.flatnonzero(is_asked_N[self._cohort.study_of_image])
