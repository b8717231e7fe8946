import math

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.selip import Selip
from stages.pretraining.objectives.thresholded import Thresholded


def thresholded(**values):
    return Thresholded(Thresholded.Params(**values), Facts(3))


def test_two_texts_above_the_threshold_by_hand():
    # Z = I at temperature 1, targets one half each: every row costs log(1 + e) - 1/2
    batch = Batch(torch.eye(2), torch.eye(2), torch.arange(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    assert thresholded(threshold=0.8, temperature=1.0)(batch).loss.item() == pytest.approx(math.log(1 + math.e) - 0.5)


def test_it_is_the_slow_loop():
    torch.manual_seed(0)
    image, text, index = torch.randn(5, 3), torch.randn(4, 3), [0, 1, 2, 1, 3]
    similarity = torch.rand(4, 4)
    similarity = torch.maximum(similarity, similarity.T).fill_diagonal_(1)
    z = [[float(torch.cosine_similarity(v, t, dim=0)) / 0.07 for t in text] for v in image]
    positives = [[v for v in range(4) if v == u or similarity[u, v] >= 0.6] for u in range(4)]
    expected = 0.0
    for i in range(5):
        total = math.log(sum(math.exp(value) for value in z[i]))
        expected += sum(total - z[i][v] for v in positives[index[i]]) / len(positives[index[i]]) / 5 / 2
    for u in range(4):
        total = math.log(sum(math.exp(z[i][u]) for i in range(5)))
        for i in range(5):
            if index[i] in positives[u]:
                share = 1 / len(positives[u]) / index.count(index[i])
                expected += index.count(u) / 5 * share * (total - z[i][u]) / 2
    batch = Batch(image, text, torch.tensor(index), similarity)
    assert thresholded(threshold=0.6)(batch).loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_threshold_that_no_other_text_reaches_leaves_multi_positive_clip():
    torch.manual_seed(0)
    batch = Batch(torch.randn(5, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 1, 3]), torch.eye(4))
    expected = Selip(Selip.Params(weight=0.0), Facts(3))(batch).loss
    torch.testing.assert_close(thresholded()(batch).loss, expected)


def test_similarity_that_is_missing_is_refused():
    with pytest.raises(ValueError, match="similarity: expected a tensor, got None"):
        thresholded()(Batch(torch.eye(2), torch.eye(2), torch.arange(2)))
