import math

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.base import MAX_LOGIT_SCALE
from stages.pretraining.objectives.clip import Clip


def clip(**values):
    return Clip(Clip.Params(**values), Facts(2))


def test_two_pairs_by_hand():
    # Z = [[1, 0], [0, 1]], so that each of the four cross-entropies is log(1 + 1/e).
    outcome = clip(temperature=1.0)(Batch(torch.eye(2), torch.eye(2), torch.arange(2)))
    assert outcome.loss.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_it_is_the_slow_loop():
    torch.manual_seed(0)
    image, text, index = torch.randn(4, 3), torch.randn(3, 3), torch.tensor([0, 1, 2, 1])
    expected = 0.0
    cosine = [
        [float(torch.cosine_similarity(image[i], text[index[j]], dim=0)) / 0.07 for j in range(4)] for i in range(4)
    ]
    for i in range(4):
        forth = math.log(sum(math.exp(cosine[i][j]) for j in range(4))) - cosine[i][i]
        back = math.log(sum(math.exp(cosine[j][i]) for j in range(4))) - cosine[i][i]
        expected += (forth + back) / 2 / 4
    assert clip()(Batch(image, text, index)).loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_scale_stays_below_its_bound_however_long_it_learns():
    objective = clip()
    objective.scale.log_scale.data.fill_(50.0)
    assert objective.scale().item() == MAX_LOGIT_SCALE


def test_a_fixed_temperature_is_not_trained():
    assert [p.requires_grad for p in clip(is_temperature_learnable=False).parameters()] == [False]
