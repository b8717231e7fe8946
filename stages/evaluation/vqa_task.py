"""Question answering as a task of the results."""

from __future__ import annotations

from stages.evaluation.cases import BLIND, CHANCE
from stages.evaluation.quantities import MACRO, VQA, Quantity
from stages.evaluation.views import Column, Task, View

VQA_TASK = Task(
    name=VQA,
    title="Visual question answering",
    references=(CHANCE, BLIND),
    views=(
        View(
            "",
            (
                Column("balanced_accuracy", "balanced accuracy", classes="macro"),
                Column("closed_accuracy", "closed questions"),
                Column("open_accuracy", "open questions"),
            ),
            is_every_split=True,
        ),
        View("Accuracy by kind of question", (Column("balanced_accuracy", "", classes="each"),)),
        View("Presence by the objective's own head", (Column("own_presence_accuracy", "accuracy"),)),
    ),
    primary=Quantity(VQA, "balanced_accuracy", "", MACRO),
    primary_title="question answering, balanced accuracy",
    reading="One answering head on the frozen encoder, the same for every method, trained on questions about "
    "training studies and asked in other words: whether a finding is present and on which side (closed), at which "
    "site and with which signal in a sequence (open). Every question has as many studies of each answer, so that "
    "accuracy is balanced within a kind; the balanced accuracy is its mean over kinds. `blind` is the head without "
    "an image, `chance` a guess among the answers that a question has in training.",
    missing="no labels or lesions of training and evaluated studies to ask for (`cohort.truth`)",
    by_class=(("", Column("balanced_accuracy", "accuracy by kind of question", classes="each")),),
)
