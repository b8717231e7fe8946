import math

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.siglip import SoftSiglip

FLOOR = 0.3


def siglip(**values):
    return SoftSiglip(SoftSiglip.Params(**values), Facts(3, similarity_quantile=lambda level: FLOOR))


def test_two_pairs_by_hand():
    # cosines I, s = 1, b = 0 and labels I: each image costs softplus(-1) for its own and softplus(0) for the other text
    batch = Batch(torch.eye(2), torch.eye(2), torch.arange(2))
    expected = math.log(1 + math.exp(-1)) + math.log(2)
    assert siglip(weight=0.0, temperature=1.0, bias=0.0)(batch).loss.item() == pytest.approx(expected)


def test_it_is_the_slow_loop():
    torch.manual_seed(0)
    image, text, index = torch.randn(5, 3), torch.randn(4, 3), [0, 1, 2, 1, 3]
    similarity = torch.rand(4, 4)
    similarity = torch.maximum(similarity, similarity.T).fill_diagonal_(1)
    expected = 0.0
    for i in range(5):
        for u in range(4):
            label = 1.0 if u == index[i] else 0.4 * max(0.0, (float(similarity[index[i], u]) - FLOOR) / (1 - FLOOR))
            logit = float(torch.cosine_similarity(image[i], text[u], dim=0)) / 0.1 - 10.0
            chance = 1 / (1 + math.exp(-logit))
            expected -= (label * math.log(chance) + (1 - label) * math.log(1 - chance)) / 5
    batch = Batch(image, text, torch.tensor(index), similarity)
    assert siglip(weight=0.4)(batch).loss.item() == pytest.approx(expected, rel=1e-4)


def test_similarity_that_is_needed_and_missing_is_refused():
    with pytest.raises(ValueError, match="similarity: expected one for soft SigLIP, got none"):
        SoftSiglip(SoftSiglip.Params(), Facts(3))
    with pytest.raises(ValueError, match="similarity: expected a tensor, got None"):
        siglip()(Batch(torch.eye(2), torch.eye(2), torch.arange(2)))
