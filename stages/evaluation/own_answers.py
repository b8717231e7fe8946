"""Answers that a method gives of its own accord, by a head that its pretraining trained.

Shape suffixes: B images, S sequences, X spatial axes, G questions, A answers, Q asked questions, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stages.evaluation.grounding_maps import read_images
from stages.evaluation.questions import KINDS, NO, PRESENCE, YES, QuestionSet, Studies
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.phrases import Question
from stages.pretraining.towers import Towers

#: in place of an answer that a method does not give
UNANSWERED = -1


class OwnHead(Protocol):
    """What answers questions of one kind from images alone."""

    #: kind of question that it answers
    kind: str

    def can_answer(self, question: Question) -> bool:
        """Tell whether it knows what a question of its kind is about."""
        ...

    def score(
        self, volumes_BSX: Tensor, is_present_BS: Tensor, questions: Sequence[Question], answers: Sequence[str]
    ) -> Tensor:
        """Score answers; the highest is given.

        Args:
            volumes_BSX: inputs of the image encoder.
            is_present_BS: which sequences each image has.
            questions: that it can answer.
            answers: that it may choose from.

        Returns:
            Scores, shape (B, G, A).
        """
        ...


class LabelHead:
    """Presence by the label head of the towers: their logit against none."""

    kind = PRESENCE

    def __init__(self, towers: Towers) -> None:
        """Take the head of some towers.

        Raises:
            ValueError: if they have none.
        """
        if towers.label_head is None:
            raise ValueError("towers: no label head to answer with; take an objective that is trained on labels")
        self._device = next(towers.image.parameters()).device
        self._towers, self._head = towers, towers.label_head.to(self._device)

    def can_answer(self, question: Question) -> bool:
        """Tell whether the head has a class for the finding."""
        return question.finding in self._towers.config.classes

    @torch.inference_mode()
    def score(
        self, volumes_BSX: Tensor, is_present_BS: Tensor, questions: Sequence[Question], answers: Sequence[str]
    ) -> Tensor:
        """Score yes by the logit of the finding and no by 0 (arguments of ``OwnHead.score``)."""
        inputs = volumes_BSX.to(self._device), is_present_BS.to(self._device)
        logits_BC = self._head(self._towers.image(*inputs))
        columns = [self._towers.config.classes.index(question.finding) for question in questions]
        yes_BG = logits_BC[:, columns]
        scores = {YES: yes_BG, NO: torch.zeros_like(yes_BG)}
        return torch.stack([scores[answer] for answer in answers], dim=2)


def answer_by_itself(
    head: OwnHead, bank: ImageBank, studies: Studies, asked: QuestionSet, batch_size: int
) -> np.ndarray:
    """Let a head answer the questions that it can.

    Args:
        head: of one pretraining seed.
        bank: images.
        studies: studies of the same images; scores of several images of one are averaged.
        asked: questions about them.
        batch_size: images at a time.

    Returns:
        Number of the answer in the vocabulary, ``UNANSWERED`` where there is none. Shape (Q,).
    """
    answer_Q = np.full(len(asked), UNANSWERED)
    kind = KINDS.index(head.kind)
    numbers = [number for number, (own, _) in enumerate(asked.vocabulary.answers) if own == head.kind]
    known = [
        g for g, question in enumerate(asked.questions) if question.kind == head.kind and head.can_answer(question)
    ]
    rows_Q = np.flatnonzero((asked.kinds == kind) & np.isin(asked.question_Q, known))
    if not len(rows_Q):
        return answer_Q
    answers = [asked.vocabulary.answers[number][1] for number in numbers]
    needed = np.unique(asked.study_Q[rows_Q])
    images = [row for study in needed for row in studies.rows[study]]
    parts = [
        head.score(*read_images(bank, images[first : first + batch_size]), [asked.questions[g] for g in known], answers)
        for first in range(0, len(images), batch_size)
    ]
    ends = np.cumsum([len(studies.rows[study]) for study in needed])
    by_study = [part_BGA.mean(axis=0) for part_BGA in np.split(torch.cat(parts).cpu().numpy(), ends[:-1])]
    place = {int(study): number for number, study in enumerate(needed)}
    for row in rows_Q:
        scores_A = by_study[place[int(asked.study_Q[row])]][known.index(asked.question_Q[row])]
        answer_Q[row] = numbers[int(scores_A.argmax())]
    return answer_Q
