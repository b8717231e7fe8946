"""Question answering as a task of the results: its figures, and what they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from stages.evaluation.bootstrap import Resampling
from stages.evaluation.cases import BLIND, CHANCE
from stages.evaluation.estimates import Estimates, measure_estimates
from stages.evaluation.quantities import MACRO, VQA, Quantity
from stages.evaluation.views import Column, Task, View

#: accuracy by kind of question; its mean over kinds is the balanced accuracy, as answers of a kind are balanced
BALANCED, OPEN, CLOSED_ACCURACY = "balanced_accuracy", "open_accuracy", "closed_accuracy"
#: accuracy of an objective's own head
OWN = "own_{kind}_accuracy"

VQA_TASK = Task(
    name=VQA,
    title="Visual question answering",
    references=(CHANCE, BLIND),
    views=(
        View(
            "",
            (
                Column(BALANCED, "balanced accuracy", classes="macro"),
                Column(CLOSED_ACCURACY, "closed questions"),
                Column(OPEN, "open questions"),
            ),
            is_every_split=True,
        ),
        View("Accuracy by kind of question", (Column(BALANCED, "", classes="each"),)),
        View("Presence by the objective's own head", (Column(OWN.format(kind="presence"), "accuracy"),)),
    ),
    primary=Quantity(VQA, BALANCED, "", MACRO),
    primary_title="question answering, balanced accuracy",
    reading="One answering head on the frozen encoder, the same for every method, trained on questions about "
    "training studies and asked in other words: whether a finding is present and on which side (closed), at which "
    "site and with which signal in a sequence (open). Every question has as many studies of each answer, so that "
    "accuracy is balanced within a kind; the balanced accuracy is its mean over kinds. `blind` is the head without "
    "an image, `chance` a guess among the answers that a question has in training.",
    missing="no labels or lesions of training and evaluated studies to ask for (`cohort.truth`)",
    by_class=(("", Column(BALANCED, "accuracy by kind of question", classes="each")),),
)


def answer_estimates(cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, min_patients: int = 0) -> Estimates:
    """Average accuracies of one method (arguments of ``measure_estimates``).

    Open and closed questions are made of kinds, so that they tell of as few patients as the smallest kind.
    """
    estimates = measure_estimates(cases, resamplings, task=VQA, min_patients=min_patients)
    cells: dict[str, int] = {}
    for quantity, estimate in estimates.items():
        if quantity.metric == BALANCED:
            cells[quantity.split] = min(estimate.smallest_cell, cells.get(quantity.split, estimate.smallest_cell))
    return {
        quantity: replace(estimate, smallest_cell=min(estimate.smallest_cell, cells[quantity.split]))
        if quantity.metric in (OPEN, CLOSED_ACCURACY)
        else estimate
        for quantity, estimate in estimates.items()
    }
