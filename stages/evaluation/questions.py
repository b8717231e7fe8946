"""Questions about studies with their true answers, as many of each answer, so that a blind guess stays at chance.

Shape suffixes: N studies, Q asked questions, A answers of the vocabulary, K kinds of question.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.evaluation.labels import Labels
from stages.pretraining.pairs import ImageTable
from stages.pretraining.phrases import Question, Wordings

PRESENCE, SIDE, SITE, SIGNAL = "presence", "side", "site", "signal"
KINDS = (PRESENCE, SIDE, SITE, SIGNAL)
#: kinds whose answer is one of a few that the question implies; the others are open
CLOSED = frozenset({PRESENCE, SIDE})
TRAIN = "train"
YES, NO = "yes", "no"
_BOTH, _ONE_SIDED = "bilateral", frozenset({"left", "right"})
_UNKNOWN_SIGNAL = "null"

#: answer of each study that has one, by its number
Answers = dict[int, str]


@dataclass(frozen=True)
class Studies:
    """Studies in the order in which the images first bring them.

    Attributes:
        study_ids: N studies.
        patient_ids: their patients.
        splits: their splits.
        rows: rows of the images of each.
        sequences: sequences that the encoder sees of each.
    """

    study_ids: list[str]
    patient_ids: list[str]
    splits: list[str]
    rows: list[list[int]]
    sequences: list[frozenset[str]]

    @classmethod
    def of(cls, images: ImageTable, sequences: Sequence[str]) -> Studies:
        """Group images by study.

        Args:
            images: the images.
            sequences: sequences that the encoder reads, in its order.
        """
        rows: dict[str, list[int]] = {}
        for row, study_id in enumerate(images.study_ids):
            rows.setdefault(study_id, []).append(row)
        return cls(
            list(rows),
            [images.patient_ids[own[0]] for own in rows.values()],
            [images.splits[own[0]] for own in rows.values()],
            list(rows.values()),
            [frozenset(sequences[number] for row in own for number in images.series[row]) for own in rows.values()],
        )

    def only(self, chosen: Sequence[int]) -> Studies:
        """Keep some studies."""
        columns = (self.study_ids, self.patient_ids, self.splits, self.rows, self.sequences)
        return Studies(*([column[study] for study in chosen] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Vocabulary:
    """Every answer that training saw, by kind of question."""

    answers: list[tuple[str, str]]

    @property
    def is_possible(self) -> np.ndarray:
        """Which answers a kind of question can have. Shape (K, A)."""
        return np.array([[kind == own for own, _ in self.answers] for kind in KINDS])


@dataclass(frozen=True)
class QuestionSet:
    """Questions that are asked, a row each.

    Attributes:
        questions: what is asked, whatever the study.
        vocabulary: the answers.
        question_Q: number of the question.
        study_Q: number of the study.
        answer_Q: number of the true answer in the vocabulary.
        phrase_Q: phrase of ``phrases.parquet`` in which it is asked, a held-out wording.
        chance_Q: chance of whoever guesses among the answers that this question has in training.
    """

    questions: list[Question]
    vocabulary: Vocabulary
    question_Q: np.ndarray
    study_Q: np.ndarray
    answer_Q: np.ndarray
    phrase_Q: np.ndarray
    chance_Q: np.ndarray

    def __len__(self) -> int:
        return len(self.study_Q)

    @property
    def kinds(self) -> np.ndarray:
        """Kind of each question, a place in ``KINDS``. Shape (Q,)."""
        kinds = np.array([KINDS.index(question.kind) for question in self.questions], dtype=np.int64)
        return kinds[self.question_Q]


def find_answers(
    questions: Iterable[Question], studies: Studies, labels: Labels, lesions: Iterable[Mapping[str, Any]]
) -> dict[Question, Answers]:
    """Look the true answer of every question up, for the studies where there is exactly one.

    Presence comes from the labels, all else from lesions: a study whose lesions of a finding differ in site,
    or in their signal in a sequence, is not asked for it. Left and right together are ``bilateral``.

    Args:
        questions: to be answered.
        studies: to be asked about.
        labels: of findings.
        lesions: rows of contract LINKED_LESIONS, without their voxels.
    """
    number = {study_id: place for place, study_id in enumerate(studies.study_ids)}
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for lesion in lesions:
        if lesion["study_id"] in number:
            found.setdefault((lesion["finding"], number[lesion["study_id"]]), []).append(lesion)
    labels_NC = labels.of(studies.study_ids)
    answers: dict[Question, Answers] = {}
    for question in questions:
        if question.kind == PRESENCE:
            answers[question] = _presence(question.finding, labels.classes, labels_NC)
        else:
            of_studies = ((study, own) for (finding, study), own in found.items() if finding == question.finding)
            known = ((study, _answer(question, own, studies.sequences[study])) for study, own in of_studies)
            answers[question] = {study: answer for study, answer in sorted(known) if answer}
    return answers


def draw_questions(
    answers: Mapping[Question, Answers], wordings: Mapping[Question, Wordings], splits: Sequence[str], seed: int
) -> QuestionSet:
    """Draw as many questions of each answer, within every question and split.

    The answers of a question are those that training can ask most often: the m most frequent ones, as
    often as the m-th, where m times that is largest. Other splits ask for the same answers or fewer.

    Args:
        answers: of the studies.
        wordings: of the questions.
        splits: split of each study.
        seed: of the draws; they depend on the order of studies, not on ids.
    """
    order = [TRAIN, *sorted(set(splits) - {TRAIN})]
    drawn: list[tuple[int, int, str, int, float]] = []
    questions = list(answers)
    for place, question in enumerate(questions):
        allowed: set[str] | None = None
        for split in order:
            here = {study: answer for study, answer in answers[question].items() if splits[study] == split}
            stream = zlib.crc32("/".join((split, question.kind, question.finding, question.sequence or "")).encode())
            random = np.random.default_rng([seed, stream])
            kept = balance(here, allowed, random)
            allowed = set(kept.values()) if split == TRAIN else allowed
            phrases = random.choice(wordings[question].held_out, len(kept))
            chance = 1 / max(1, len(allowed or ()))
            drawn += [
                (place, study, answer, int(phrase), chance)
                for (study, answer), phrase in zip(kept.items(), phrases, strict=True)
            ]
    return _question_set(questions, drawn)


def balance(answers: Answers, allowed: set[str] | None, random: np.random.Generator) -> Answers:
    """Draw equally many studies of each answer.

    Args:
        answers: of the studies.
        allowed: answers that may be kept; None for all.
        random: generator of the draw.

    Returns:
        The kept studies in their order; none if fewer than two answers occur.
    """
    counts = Counter(answer for answer in answers.values() if allowed is None or answer in allowed)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    if len(ranked) < 2:  # noqa: PLR2004
        return {}
    num_answers = max(range(2, len(ranked) + 1), key=lambda m: (m * counts[ranked[m - 1]], m))
    size = counts[ranked[num_answers - 1]]
    kept: set[int] = set()
    for answer in ranked[:num_answers]:
        candidates = np.array([study for study, own in answers.items() if own == answer])
        kept.update(random.choice(candidates, size, replace=False).tolist())
    return {study: answers[study] for study in answers if study in kept}


def _question_set(questions: list[Question], drawn: list[tuple[int, int, str, int, float]]) -> QuestionSet:
    pairs = {(questions[place].kind, answer) for place, _, answer, _, _ in drawn}
    vocabulary = Vocabulary(sorted(pairs, key=lambda pair: (KINDS.index(pair[0]), pair[1])))
    number = {pair: place for place, pair in enumerate(vocabulary.answers)}
    return QuestionSet(
        questions,
        vocabulary,
        np.array([row[0] for row in drawn], dtype=np.int64),
        np.array([row[1] for row in drawn], dtype=np.int64),
        np.array([number[questions[row[0]].kind, row[2]] for row in drawn], dtype=np.int64),
        np.array([row[3] for row in drawn], dtype=np.int64),
        np.array([row[4] for row in drawn], dtype=float),
    )


def _presence(finding: str, classes: list[str], labels_NC: np.ndarray) -> Answers:
    if finding not in classes:
        return {}
    labels_N = labels_NC[:, classes.index(finding)]
    return {int(study): YES if labels_N[study] else NO for study in np.flatnonzero(~np.isnan(labels_N))}


def _answer(question: Question, lesions: Sequence[Mapping[str, Any]], sequences: frozenset[str]) -> str | None:
    """The answer that all lesions of a finding agree on, None if there is none."""
    if question.kind == SIDE:
        sides = {lesion["side"] for lesion in lesions}
        if len(sides) > 1 and sides <= {*_ONE_SIDED, _BOTH}:
            return _BOTH
        return _only(sides)
    if question.kind == SITE:
        return _only({lesion["site"] for lesion in lesions})
    if question.sequence not in sequences:
        return None
    signals = {
        signal["signal"]
        for lesion in lesions
        for signal in lesion["signals"]
        if signal["sequence"] == question.sequence
    }
    return _only(signals - {_UNKNOWN_SIGNAL})


def _only(values: set[str | None]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None
