"""Answers that a method gives of its own accord, by a head that its pretraining trained.

Shape suffixes: B images, S sequences, X spatial axes, G questions, A answers, Q asked questions, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stages.evaluation.grounding_maps import Shown, show_images
from stages.evaluation.questions import KINDS, NO, PRESENCE, YES, QuestionSet, Studies
from stages.imaging.region_store import RegionStore
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.own_heads import OwnHeads
from stages.pretraining.phrases import Question
from stages.pretraining.region_labels import WHOLE
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

    def score(self, images: Shown, questions: Sequence[Question], answers: Sequence[str]) -> Tensor:
        """Score answers; the highest is given.

        Args:
            images: what is asked about.
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
    def score(self, images: Shown, questions: Sequence[Question], answers: Sequence[str]) -> Tensor:
        """Score yes by the logit of the finding and no by 0 (arguments of ``OwnHead.score``)."""
        inputs = images.volumes_BSX.to(self._device), images.is_present_BS.to(self._device)
        logits_BC = self._head(self._towers.image(*inputs))
        columns = [self._towers.config.classes.index(question.finding) for question in questions]
        return _against_none(logits_BC[:, columns], answers)


class PresenceHead:
    """Presence by an objective's own head for regions of the atlas: its logit for the whole brain against none."""

    kind = PRESENCE

    def __init__(self, towers: Towers, heads: OwnHeads, store: RegionStore, study_ids: Sequence[str]) -> None:
        """Take an exported objective with ``presence_logits``.

        Args:
            towers: that it was trained with.
            heads: the objective.
            store: regions of every study.
            study_ids: study of each image of the cohort.
        """
        self._device = next(towers.image.parameters()).device
        self._towers, self._objective, self._facts = towers, heads.objective.to(self._device), heads.facts
        self._store, self._study_ids = store, study_ids

    def can_answer(self, question: Question) -> bool:
        """Tell whether the finding is one of the objective's."""
        return question.finding in self._facts.findings

    @torch.inference_mode()
    def score(self, images: Shown, questions: Sequence[Question], answers: Sequence[str]) -> Tensor:
        """Score yes by the logit of the finding in the whole brain and no by 0 (arguments of ``OwnHead.score``)."""
        weight_BRP = torch.from_numpy(self._store.weights([self._study_ids[row] for row in images.rows]))
        embedded = self._towers.image.embed(  # type: ignore[operator]
            images.volumes_BSX.to(self._device), images.is_present_BS.to(self._device)
        )
        logits_BFR = self._objective.presence_logits(*embedded, weight_BRP.to(self._device))
        findings = [self._facts.findings.index(question.finding) for question in questions]
        return _against_none(logits_BFR[:, findings, self._facts.regions.index(WHOLE)], answers)


def _against_none(yes_BG: Tensor, answers: Sequence[str]) -> Tensor:
    """Scores of yes and of no, whose logit is 0, in the order of the answers. Shape (B, G, A)."""
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
    batches = [images[first : first + batch_size] for first in range(0, len(images), batch_size)]
    parts = [head.score(show_images(bank, rows), [asked.questions[g] for g in known], answers) for rows in batches]
    ends = np.cumsum([len(studies.rows[study]) for study in needed])
    by_study = [part_BGA.mean(axis=0) for part_BGA in np.split(torch.cat(parts).cpu().numpy(), ends[:-1])]
    place = {int(study): number for number, study in enumerate(needed)}
    for row in rows_Q:
        scores_A = by_study[place[int(asked.study_Q[row])]][known.index(asked.question_Q[row])]
        answer_Q[row] = numbers[int(scores_A.argmax())]
    return answer_Q
