"""Images whose questions have known answers, and a trainer of answering heads on them."""

import numpy as np
import torch
from torch import nn

from stages.evaluation.answer_training import HeadParams, HeadTrainer
from stages.evaluation.questions import QuestionSet, Studies, Vocabulary
from stages.pretraining.phrases import Phrases, Question

NUM_STUDIES, NUM_PATCHES, WIDTH = 64, 12, 8
PRESENCE, SIDE = Question("presence", "infarct"), Question("side", "infarct")
OPTIMISER = {"learning_rate": 1e-2, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_gradient_norm": 1.0}
PARAMS = HeadParams.model_validate(
    {"width": 16, "num_heads": 2, "updates": 120, "batch_size": 32, "optimiser": OPTIMISER}
)


class Bank:
    """Images of one sequence and twelve voxels: a bright one, left or right, where there is an infarct."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.has_lesion = np.arange(NUM_STUDIES) % 4 != 0
        self.is_left = random.random(NUM_STUDIES) < 0.5
        self.images = random.integers(-3, 4, (NUM_STUDIES, 1, NUM_PATCHES)).astype(np.int8)
        for study in np.flatnonzero(self.has_lesion):
            self.images[study, 0, random.integers(6) + (0 if self.is_left[study] else 6)] = 40
        self.is_present_NS = np.ones((NUM_STUDIES, 1), dtype=bool)

    def image(self, row):
        return self.images[row]


class Encoder(nn.Module):
    """A voxel is a patch; the image is the brightest one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)))

    def encode_patches(self, volumes_BSX, _):
        return volumes_BSX[:, 0, :, None] * self.weight

    def forward(self, volumes_BSX, is_present_BS):
        return self.encode_patches(volumes_BSX, is_present_BS).amax(dim=1)


def studies():
    ids = [f"s{study}" for study in range(NUM_STUDIES)]
    splits = ["train" if study < 44 else "test" for study in range(NUM_STUDIES)]
    return Studies(ids, ids, splits, [[study] for study in range(NUM_STUDIES)], [frozenset({"T1"})] * NUM_STUDIES)


def phrases():
    rows = [
        {"kind": "question", "question": question.kind, "finding": "infarct", "sequence": None, "phrase_id": number,
         "is_held_out": bool(number % 2)}
        for number, question in enumerate((PRESENCE, PRESENCE, SIDE, SIDE))
    ]  # fmt: skip
    vectors = np.random.default_rng(2).normal(size=(2, 6)).repeat(2, axis=0)
    vectors += 0.1 * np.random.default_rng(3).normal(size=vectors.shape)
    return Phrases(rows, vectors.astype(np.float32))


def trainer(params=PARAMS, batch_size=16):
    bank = Bank()
    vocabulary = Vocabulary([("presence", "no"), ("presence", "yes"), ("side", "left"), ("side", "right")])
    with_lesion = np.flatnonzero(bank.has_lesion)
    study_Q = np.concatenate([np.arange(NUM_STUDIES), with_lesion])
    question_Q = np.repeat([0, 1], [NUM_STUDIES, len(with_lesion)])
    answer_Q = np.concatenate([bank.has_lesion.astype(int), 3 - bank.is_left[with_lesion]])
    asked = QuestionSet(
        [PRESENCE, SIDE], vocabulary, question_Q, study_Q, answer_Q, 1 + 2 * question_Q, np.full(len(study_Q), 0.5)
    )
    return HeadTrainer(bank, studies(), asked, phrases(), params, batch_size)
