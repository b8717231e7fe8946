import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.masked_image import MaskedImage


def masked_image():
    torch.manual_seed(0)
    return MaskedImage(MaskedImage.Params(hidden_width=4), Facts(3, patches_shape=(5, 2)))


def batch_of(patches, is_hidden):
    image = torch.randn(len(patches), 3, generator=torch.Generator().manual_seed(1))
    return Batch(
        image, torch.zeros(1, 3), torch.zeros(len(patches), dtype=torch.long), None, None, None, patches, is_hidden
    )


def test_it_is_the_slow_loop_over_hidden_patches():
    objective, patches, is_hidden = masked_image(), torch.randn(4, 5, 2), torch.rand(4, 5, 2) < 0.5
    batch = batch_of(patches, is_hidden)
    told = objective.decoder(batch.image_BD).detach()
    errors = [
        float((told[b, 2 * p + s] - patches[b, p, s]) ** 2)
        for b in range(4) for p in range(5) for s in range(2) if is_hidden[b, p, s]
    ]  # fmt: skip
    assert objective(batch).loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_what_was_shown_has_no_influence():
    objective, is_hidden = masked_image(), torch.zeros(3, 5, 2, dtype=torch.bool)
    is_hidden[:, 1] = True
    patches = torch.randn(3, 5, 2)
    others = patches.clone()
    others[:, 2:] += 9.0
    assert objective(batch_of(patches, is_hidden)).loss == objective(batch_of(others, is_hidden)).loss


def test_a_batch_without_hidden_patches_is_refused():
    with pytest.raises(ValueError, match="hidden patches: expected tensors, got None"):
        masked_image()(Batch(torch.randn(2, 3), torch.zeros(1, 3), torch.zeros(2, dtype=torch.long)))
