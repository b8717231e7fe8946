"""Classifiers on an encoder: their loss against a loop, their training, and the choice of a checkpoint."""

import copy
import math

import numpy as np
import pytest
import torch
from tuned_cohort import make_cohort, make_encoder

from stages.evaluation.classifiers import Classifier, Lesson, Start, Trainer, TrainingParams, masked_loss
from stages.pretraining.optimisation import OptimiserParams

PARAMS = TrainingParams(
    passes=2,
    min_updates=4,
    max_updates=12,
    batch_size=8,
    num_checkpoints=4,
    optimiser=OptimiserParams(learning_rate=1e-3),
)


@pytest.fixture(scope="module")
def bank():
    return make_cohort()[0]


@pytest.fixture
def lesson():
    rng = np.random.default_rng(1)
    labels = (rng.random((20, 2)) < 0.5).astype(np.float32)
    return Lesson(3, np.arange(30, 50), labels, rng.random((20, 2)) < 0.8)


@pytest.fixture(scope="module")
def start(bank):
    return Trainer(bank, PARAMS).start(make_encoder(), np.arange(40))


def test_the_loss_is_the_mean_over_known_labels():
    rng = np.random.default_rng(0)
    logits, labels, is_known = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)), rng.random((5, 3)) < 0.6
    terms = []
    for b in range(5):
        for c in range(3):
            if is_known[b, c]:
                probability = 1 / (1 + math.exp(-logits[b, c]))
                terms.append(-math.log(probability if labels[b, c] else 1 - probability))
    loss = masked_loss(torch.tensor(logits), torch.tensor(labels).double(), torch.tensor(is_known))
    assert loss.item() == pytest.approx(sum(terms) / len(terms))


def test_the_loss_of_one_label_by_hand():
    logits = torch.tensor([[0.0, 50.0]])
    loss = masked_loss(logits, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(math.log(2))


def test_unknown_labels_have_no_gradient_and_no_label_no_loss():
    logits = torch.zeros(2, 2, requires_grad=True)
    is_known = torch.tensor([[True, False], [True, False]])
    masked_loss(logits, torch.ones(2, 2), is_known).backward()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).all()
    assert masked_loss(logits, torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_a_classifier_starts_from_the_prior(bank, lesson, start):
    model = Classifier(start, lesson.prior())
    logits = Trainer(bank, PARAMS).predict(model, np.arange(5))
    known, positive = lesson.is_known_IC[:, 0], lesson.labels_IC[lesson.is_known_IC[:, 0], 0].sum()
    assert logits[:, 0] == pytest.approx(np.full(5, np.log((positive + 1) / (known.sum() - positive + 1))), abs=1e-6)


def test_embeddings_of_training_images_are_standardised_at_the_start(bank, start):
    embeddings = Trainer(bank, PARAMS).predict(start.encoder, np.arange(40))
    scaled = (embeddings - start.mean_D) / start.deviation_D
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, rtol=1e-3)
    constant = Start.measure(start.encoder, np.ones((4, 3), np.float32))
    assert constant.deviation_D.tolist() == [1, 1, 1]


def test_every_parameter_of_the_encoder_is_trained_and_the_start_stays(bank, lesson, start):
    before = copy.deepcopy(start.encoder.state_dict())
    trained = Trainer(bank, PARAMS).train(start, lesson, lambda model: math.nan)
    after = trained.encoder.state_dict()
    for name, values in before.items():
        assert torch.equal(values, start.encoder.state_dict()[name]), name
        assert not torch.equal(values, after[name]), name
    assert trained.head.weight.abs().sum() > 0


@pytest.mark.parametrize(("merits", "kept"), [([0.1, 0.9, 0.9, 0.3], 1), ([math.nan] * 4, 3), ([0.5] * 4, 0)])
def test_the_earliest_of_the_best_checkpoints_is_kept(bank, lesson, start, merits, kept):
    seen = []

    def judge(model):
        seen.append(copy.deepcopy(model.state_dict()))
        return merits[len(seen) - 1]

    model = Trainer(bank, PARAMS).train(start, lesson, judge)
    assert len(seen) == 4
    assert all(torch.equal(values, seen[kept][name]) for name, values in model.state_dict().items())


def test_the_length_follows_the_labelled_images_between_two_limits():
    assert [PARAMS.num_updates(number) for number in (1, 16, 17, 40, 500)] == [4, 4, 5, 10, 12]
    assert PARAMS.checkpoints(10) == {3, 5, 8, 10}
    assert max(PARAMS.checkpoints(2)) == 2


def test_every_image_is_met_once_before_any_is_met_again(lesson):
    met = np.concatenate(list(lesson.batches(8, 5)))
    assert sorted(met[:20]) == sorted(met[20:]) == list(range(20))
    assert [len(batch) for batch in Lesson(0, np.arange(3), None, None).batches(8, 2)] == [3, 3]


def test_a_training_repeats_and_follows_its_seed(bank, lesson, start):
    def head(seed):
        given = Lesson(seed, lesson.images, lesson.labels_IC, lesson.is_known_IC)
        torch.manual_seed(np.random.default_rng().integers(1000))
        return Trainer(bank, PARAMS).train(start, given, lambda model: math.nan).head.weight

    assert torch.equal(head(3), head(3))
    assert not torch.equal(head(3), head(4))
