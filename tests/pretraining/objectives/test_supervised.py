import math

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.supervised import Supervised


def supervised(num_labels):
    torch.manual_seed(0)
    return Supervised(Supervised.Params(), Facts(2, num_labels))


def test_two_images_by_hand():
    objective = supervised(1)
    objective.label_head.weight.data = torch.tensor([[1.0, 0.0]])
    objective.label_head.bias.data.zero_()
    labels, is_known = torch.tensor([[1.0], [0.0]]), torch.ones(2, 1, dtype=torch.bool)
    batch = Batch(torch.tensor([[2.0, 9.0], [-1.0, 9.0]]), torch.eye(2), torch.arange(2), None, labels, is_known)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert objective(batch).loss.item() == pytest.approx(expected)


def test_it_is_the_slow_loop_over_known_labels():
    objective = supervised(3)
    image, labels = torch.randn(4, 2), torch.randint(0, 2, (4, 3)).float()
    is_known = torch.rand(4, 3) < 0.6
    costs = []
    for i in range(4):
        for c in range(3):
            if is_known[i, c]:
                chance = torch.sigmoid(objective.label_head(image[i])[c]).item()
                costs.append(-math.log(chance if labels[i, c] else 1 - chance))
    batch = Batch(image, torch.randn(4, 2), torch.arange(4), None, labels, is_known)
    assert objective(batch).loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-5)


def test_unknown_labels_have_no_influence():
    objective = supervised(2)
    image, is_known = torch.randn(3, 2), torch.tensor([[True, False]] * 3)
    losses = [
        objective(
            Batch(image, torch.randn(3, 2), torch.arange(3), None, torch.tensor([[1.0, wrong]] * 3), is_known)
        ).loss.item()
        for wrong in (0.0, 1.0)
    ]
    assert losses[0] == losses[1]


def test_a_batch_without_labels_is_refused():
    with pytest.raises(ValueError, match="labels: expected a tensor, got None"):
        supervised(2)(Batch(torch.randn(3, 2), torch.randn(3, 2), torch.arange(3)))
