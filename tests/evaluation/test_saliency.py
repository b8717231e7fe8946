import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.evaluation.saliency import FindingScore, occlude
from stages.pretraining.encoders import ImageEncoder, ImageEncoderParams

SHAPE = (4, 6, 4)


@pytest.fixture
def score():
    torch.manual_seed(0)
    params = ImageEncoderParams(patch_size=2, stem_width=4, fine_width=8, width=16)
    encoder = ImageEncoder(params, num_sequences=3, shape=SHAPE, embedding_dim=8).eval()
    return FindingScore(encoder, torch.randn(8), torch.tensor([[True, False, True]]))


def test_the_score_is_a_product_with_the_normalised_embedding(score):
    volumes = torch.randn(5, 3, *SHAPE)
    is_present = torch.tensor([[True, False, True]] * 5)
    expected = functional.normalize(score.encoder(volumes, is_present), dim=-1) @ score.direction_D
    assert torch.allclose(score(volumes)[:, 0], expected)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_occlusion_is_the_fall_of_the_score_without_a_box(score, batch_size):
    volumes = torch.randn(1, 3, *SHAPE)
    fall, whole = occlude(score, volumes, (2, 2, 2), batch_size)
    assert whole == pytest.approx(score(volumes).item(), abs=1e-6)
    assert fall.shape == SHAPE
    for corner in np.ndindex(2, 3, 2):
        box = tuple(slice(2 * place, 2 * place + 2) for place in corner)
        occluded = volumes.clone()
        occluded[(0, slice(None), *box)] = 0
        expected = whole - score(occluded).item()
        assert fall[box] == pytest.approx(np.full((2, 2, 2), expected), abs=1e-6), corner


def test_an_absent_sequence_has_no_say(score):
    volumes = torch.randn(1, 3, *SHAPE)
    changed = volumes.clone()
    changed[0, 1] = 100
    assert np.allclose(occlude(score, volumes, (2, 2, 2), 4)[0], occlude(score, changed, (2, 2, 2), 4)[0], atol=1e-6)
