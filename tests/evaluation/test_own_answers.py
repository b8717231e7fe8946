from types import SimpleNamespace

import numpy as np
import pytest
import torch
from answering_cohort import Bank, Encoder, trainer
from torch import nn

from stages.evaluation.own_answers import UNANSWERED, LabelHead, PresenceHead, answer_by_itself
from stages.evaluation.questions import QuestionSet, Studies
from stages.pretraining.batch import Facts
from stages.pretraining.own_heads import OwnHeads
from stages.pretraining.phrases import Question
from stages.pretraining.standardisation import STEP

INFARCT, MASS = Question("presence", "infarct"), Question("presence", "mass")


class Brightest(nn.Module):
    """Image encoder of one dimension: the brightest voxel above the threshold of the tiny images."""

    def __init__(self):
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(20 * STEP))

    def forward(self, volumes_BSX, _):
        return volumes_BSX.flatten(1).amax(dim=1, keepdim=True) - self.threshold


def towers(classes=("mass", "infarct")):
    """Towers whose label head finds an infarct in bright images, and a mass in the others."""
    head = nn.Linear(1, len(classes), bias=False)
    with torch.no_grad():
        head.weight[:] = torch.tensor([[1.0] if name == "infarct" else [-1.0] for name in classes])
    return SimpleNamespace(image=Brightest(), label_head=head, config=SimpleNamespace(classes=list(classes)))


def test_the_own_head_answers_what_it_knows_and_nothing_else():
    own = trainer()
    answer_Q = answer_by_itself(LabelHead(towers()), own.bank, own.studies, own.asked, 7)
    is_presence = own.asked.question_Q == 0
    np.testing.assert_array_equal(answer_Q[is_presence], own.asked.answer_Q[is_presence])
    assert (answer_Q[~is_presence] == UNANSWERED).all()


def test_nothing_is_answered_about_findings_that_the_head_does_not_know():
    own = trainer()
    answer_Q = answer_by_itself(LabelHead(towers(("mass",))), own.bank, own.studies, own.asked, 7)
    assert (answer_Q == UNANSWERED).all()


def test_each_question_is_answered_by_its_own_class():
    vocabulary = trainer().asked.vocabulary
    zeros = np.zeros(2, dtype=np.int64)
    asked = QuestionSet([INFARCT, MASS], vocabulary, np.array([0, 1]), zeros, zeros, zeros, np.full(2, 0.5))
    studies = Studies(["a"], ["a"], ["test"], [[1]], [frozenset()])
    assert Bank().has_lesion[1]
    assert answer_by_itself(LabelHead(towers()), Bank(), studies, asked, 1).tolist() == [1, 0]


def test_scores_of_the_images_of_a_study_are_averaged():
    asked = trainer().asked
    one = QuestionSet([INFARCT], asked.vocabulary, *(np.zeros(1, dtype=np.int64) for _ in range(4)), np.full(1, 0.5))
    for rows, expected in (([0], 0), ([1], 1), ([0, 1, 2], 1), ([0, 4, 8, 1], 0)):
        studies = Studies(["a"], ["a"], ["test"], [rows], [frozenset()])
        mean = np.mean([Bank().image(row).max() - 20 for row in rows])
        assert int(mean > 0) == expected
        assert answer_by_itself(LabelHead(towers()), Bank(), studies, one, 2).tolist() == [expected]


class Whole(nn.Module):
    """Presence of an infarct in the whole brain wherever the image embedding is positive, and its region is seen."""

    def presence_logits(self, image_BD, patch_BPD, weight_BRP):
        logits_BR = image_BD * (weight_BRP.sum(dim=2) - 0.5)
        return torch.stack([torch.full_like(logits_BR, -1.0), logits_BR], dim=1)


class WithPatch(Brightest):
    def embed(self, volumes_BSX, is_present_BS):
        image_BD = self(volumes_BSX, is_present_BS)
        return image_BD, image_BD[:, None]


class Store:
    """Only the whole brain has a patch."""

    def weights(self, study_ids):
        return np.tile(np.array([[0.0], [1.0]], dtype=np.float32), (len(study_ids), 1, 1))


def test_a_presence_head_answers_for_the_whole_brain():
    own = trainer()
    facts = Facts(1, regions=("left insula", "whole_brain"), findings=("cyst", "infarct"))
    head = PresenceHead(SimpleNamespace(image=WithPatch()), OwnHeads(Whole(), facts, None), Store(), ["s"] * 1000)
    answer_Q = answer_by_itself(head, own.bank, own.studies, own.asked, 7)
    is_presence = own.asked.question_Q == 0
    np.testing.assert_array_equal(answer_Q[is_presence], own.asked.answer_Q[is_presence])
    assert (answer_Q[~is_presence] == UNANSWERED).all()
    assert not head.can_answer(MASS)


def test_towers_without_a_label_head_cannot_answer():
    with pytest.raises(ValueError, match="no label head to answer with"):
        LabelHead(SimpleNamespace(image=Encoder(), label_head=None))
