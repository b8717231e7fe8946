"""Visual question answering: what is asked, what a method answers, and how its answers are counted.

Shape suffixes: Q asked questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.artifacts import evaluation_tables, tables, truth_tables
from stages.evaluation.answer_training import HeadParams
from stages.evaluation.cases import Codes, table
from stages.evaluation.labels import Labels
from stages.evaluation.own_answers import UNANSWERED
from stages.evaluation.quantities import ALL, VALIDATION
from stages.evaluation.questions import (
    CLOSED,
    KINDS,
    PRESENCE,
    TRAIN,
    QuestionSet,
    Studies,
    draw_questions,
    find_answers,
)
from stages.evaluation.vqa_task import BALANCED, CLOSED_ACCURACY, OPEN, OWN
from stages.params import Params
from stages.pretraining.pairs import ImageTable
from stages.pretraining.phrases import Phrases

DECIMALS = 6
_LESION_COLUMNS = ["study_id", "finding", "site", "side", "signals"]


class VqaParams(Params):
    """Section ``evaluate_vqa``.

    Attributes:
        objectives: that are asked.
        splits: splits to evaluate; nothing is chosen on them.
        draw_seed: of the questions that are drawn, the same for every method.
        head: answering head, the same for every method.
        batch_size: images embedded, or questions answered, at a time.
        num_threads: trainings at a time, each on one CPU thread; no result depends on it.
        max_resident_gib: images are held in memory up to this size.
    """

    objectives: list[str]
    splits: list[str]
    draw_seed: int = Field(ge=0)
    head: HeadParams
    batch_size: int = Field(ge=1)
    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(ge=0)


@dataclass(frozen=True)
class AskedCohort:
    """Studies, questions about them, and in which words they are asked."""

    studies: Studies
    asked: QuestionSet
    phrases: Phrases

    @classmethod
    def prepare(
        cls, images: ImageTable, sequences: list[str], texts: Path, truth: Path, params: VqaParams
    ) -> AskedCohort:
        """Draw the questions about the studies of some images.

        Args:
            images: of the training, validation and evaluated splits.
            sequences: that the encoder reads.
            texts: folder with ``phrases.parquet``.
            truth: folder with labels and lesions.
            params: of the evaluation.
        """
        studies, phrases = Studies.of(images, sequences), Phrases.load(texts)
        labels = Labels.load(truth / "labels.parquet")
        lesions = tables.read(truth / "lesions.parquet", truth_tables.LINKED_LESIONS, _LESION_COLUMNS).to_pylist()
        answers = find_answers(phrases.questions, studies, labels, lesions)
        asked = draw_questions(answers, phrases.questions, studies.splits, params.draw_seed)
        return cls(studies, asked, phrases)

    @property
    def splits(self) -> np.ndarray:
        """Split of the study of each question. Shape (Q,)."""
        return np.array(self.studies.splits, dtype=str)[self.asked.study_Q]

    def missing(self, splits: list[str]) -> str:
        """Say what asking lacks, empty if nothing: training questions, and questions in the evaluated splits."""
        asked = set(self.splits.tolist())
        if not self.phrases.questions:
            return "the sentence encoder reads no English, in which the lexicon words its questions"
        if TRAIN not in asked:
            return "no question has two answers among the training studies"
        return "" if asked & set(splits) else f"no question has two answers among the studies of {splits}"

    def skipped(self) -> str:
        """Say which kinds of question are not asked and why, empty if all are."""
        asked = {KINDS[kind] for kind in np.unique(self.asked.kinds)}
        absent = [kind for kind in KINDS if kind not in asked]
        if not absent:
            return ""
        reason = "labels" if absent == [PRESENCE] else "lesions with site, side and signals (`cohort.truth`)"
        return f"no questions about {', '.join(absent)}, for want of {reason}"

    def to_cases(self, name: str, right: Mapping[int, np.ndarray], splits: list[str]) -> pa.Table:
        """Measure cases: every answered question of the evaluated splits, by kind and as open or closed.

        Args:
            name: row of the tables.
            right: by seed, 1 where an answer is right and 0 where not, or the chance that it is. Shape (Q,).
            splits: splits that are evaluated.
        """
        rows = np.flatnonzero(np.isin(self.splits, splits))
        is_closed = np.isin(self.asked.kinds[rows], [KINDS.index(kind) for kind in CLOSED])
        parts = [evaluation_tables.MEASURE_CASES.schema.empty_table()]
        for seed, right_Q in right.items():
            by_kind = Codes(KINDS, self.asked.kinds[rows])
            parts.append(self._cases(name, seed, right_Q, rows, Codes([BALANCED], np.zeros_like(rows)), by_kind))
            metrics = Codes([OPEN, CLOSED_ACCURACY], is_closed.astype(int))
            parts.append(self._cases(name, seed, right_Q, rows, metrics, ALL))
        return pa.concat_tables(parts)

    def own_cases(self, name: str, kind: str, answered: Mapping[int, np.ndarray], splits: list[str]) -> pa.Table:
        """Measure cases of the answers that an objective gives by a head of its own.

        Args:
            name: row of the tables.
            kind: kind of question that it answers.
            answered: by seed, number of each answer, ``UNANSWERED`` where there is none. Shape (Q,).
            splits: splits that are evaluated.
        """
        parts = [evaluation_tables.MEASURE_CASES.schema.empty_table()]
        for seed, answer_Q in answered.items():
            rows = np.flatnonzero(np.isin(self.splits, splits) & (answer_Q != UNANSWERED))
            metric = Codes([OWN.format(kind=kind)], np.zeros_like(rows))
            parts.append(self._cases(name, seed, answer_Q == self.asked.answer_Q, rows, metric, ALL))
        return pa.concat_tables(parts)

    def to_answers(self, name: str, answered: Mapping[int, np.ndarray]) -> pa.Table:
        """Every question with its true and its given answer, by seed."""
        asked, contract = self.asked, evaluation_tables.VQA_ANSWERS
        words = [answer for _, answer in asked.vocabulary.answers]
        parts = [contract.schema.empty_table()]
        for seed, answer_Q in answered.items():
            columns = {
                "objective": name,
                "seed": seed,
                "split": Codes(self.studies.splits, asked.study_Q),
                "study_id": Codes(self.studies.study_ids, asked.study_Q),
                "patient_id": Codes(self.studies.patient_ids, asked.study_Q),
                "question": Codes([question.kind for question in asked.questions], asked.question_Q),
                "finding": Codes([question.finding for question in asked.questions], asked.question_Q),
                "sequence": Codes([question.sequence for question in asked.questions], asked.question_Q),
                "phrase_id": asked.phrase_Q.astype(np.int32),
                "answer": Codes(words, asked.answer_Q),
                "predicted": Codes(words, answer_Q),
            }
            parts.append(table(contract, len(asked), columns))
        return pa.concat_tables(parts)

    def summarise(self, right: Mapping[int, np.ndarray], splits: list[str]) -> dict[str, Any]:
        """Accuracy by split and kind of question, mean over seeds, with the balanced one; validation too."""
        summary: dict[str, Any] = {}
        for split in (VALIDATION, *splits):
            by_kind = {}
            for number, kind in enumerate(KINDS):
                is_here = (self.splits == split) & (self.asked.kinds == number)
                if is_here.any() and right:
                    by_kind[kind] = float(np.mean([right_Q[is_here].mean() for right_Q in right.values()]))
            if by_kind:
                by_kind[BALANCED] = float(np.mean(list(by_kind.values())))
                summary[split] = {kind: round(value, DECIMALS) for kind, value in by_kind.items()}
        return summary

    def _cases(self, name: str, seed: int, right_Q: np.ndarray, rows: np.ndarray, metric: Codes, cls: Any) -> pa.Table:
        columns = {
            "objective": name,
            "seed": seed,
            "split": Codes(self.studies.splits, self.asked.study_Q[rows]),
            "study_id": Codes(self.studies.study_ids, self.asked.study_Q[rows]),
            "patient_id": Codes(self.studies.patient_ids, self.asked.study_Q[rows]),
            "metric": metric,
            "class": cls,
            "label_fraction": None,
            "value": right_Q[rows].astype(np.float32),
        }
        return table(evaluation_tables.MEASURE_CASES, len(rows), columns)
