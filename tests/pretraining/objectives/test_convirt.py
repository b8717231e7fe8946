import math

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.convirt import ConVIRT


def convirt(**values):
    return ConVIRT(ConVIRT.Params(**values), Facts(2))


def test_two_pairs_by_hand():
    # Cosines [[1, 0], [1, 0]] at τ = 1: images against texts cost log(1 + 1/e) and log(1 + e),
    # texts against images log 2 each.
    batch = Batch(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2), torch.arange(2))
    image_to_text = (math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 2
    outcome = convirt(temperature=1.0, image_weight=0.75)(batch)
    assert outcome.loss.item() == pytest.approx(0.75 * image_to_text + 0.25 * math.log(2))


def test_it_is_the_slow_loop():
    torch.manual_seed(0)
    image, text = torch.randn(5, 3), torch.randn(5, 3)
    cosine = [[float(torch.cosine_similarity(image[i], text[j], dim=0)) / 0.1 for j in range(5)] for i in range(5)]
    expected = 0.0
    for i in range(5):
        forth = -math.log(math.exp(cosine[i][i]) / sum(math.exp(cosine[i][k]) for k in range(5)))
        back = -math.log(math.exp(cosine[i][i]) / sum(math.exp(cosine[k][i]) for k in range(5)))
        expected += (0.75 * forth + 0.25 * back) / 5
    assert convirt()(Batch(image, text, torch.arange(5))).loss.item() == pytest.approx(expected, rel=1e-5)


def test_nothing_in_it_is_learned():
    assert not any(parameter.requires_grad for parameter in convirt().parameters())
