from contextlib import nullcontext

import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.encoders import ImageEncoderParams, build_image_encoder
from stages.pretraining.gradient_cache import CachedEmbeddings
from stages.pretraining.objectives.selip import Selip
from stages.pretraining.text_tower import TextTower

NUM_IMAGES, NUM_TEXTS = 10, 7


def build():
    torch.manual_seed(0)
    params = ImageEncoderParams(stem_width=4, fine_width=8, width=16, depth=1, num_heads=2)
    image = build_image_encoder(params, num_sequences=2, shape=(8, 8, 8), embedding_dim=6, projection="mlp")
    objective = Selip(Selip.Params(), Facts(6, similarity_quantile=lambda level: 0.3))
    return torch.nn.ModuleDict({"image": image, "text": TextTower(5, 6), "objective": objective}).double()


def sample():
    torch.manual_seed(1)
    similarity = torch.rand(NUM_TEXTS, NUM_TEXTS).double()
    index = torch.tensor([*range(NUM_TEXTS), 2, 2, 5])
    images = {
        "volumes_BSX": torch.rand(NUM_IMAGES, 2, 8, 8, 8).double(),
        "is_present_BS": torch.ones(NUM_IMAGES, 2, dtype=torch.bool),
    }
    texts = {"features": torch.randn(NUM_TEXTS, 5).double()}
    return images, texts, index, torch.maximum(similarity, similarity.T).fill_diagonal_(1)


def gradients(modules):
    return {
        name: parameter.grad.clone() for name, parameter in modules.named_parameters() if parameter.grad is not None
    }


def full_batch():
    modules, (images, texts, index, similarity) = build(), sample()
    batch = Batch(modules["image"](**images).float(), modules["text"](**texts).float(), index, similarity)
    outcome = modules["objective"](batch)
    outcome.loss.backward()
    return outcome.loss, gradients(modules)


def cached(chunk_size, num_ranks=1):
    """Every process in turn, the sum over processes done by hand."""
    images, texts, index, similarity = sample()
    whole = {}

    def embed(tower, inputs, rank, name):
        def add(part):
            whole.setdefault(name, []).append(part.clone())
            return sum(whole[name]) if len(whole[name]) == num_ranks else part

        return CachedEmbeddings(
            tower, inputs, chunk_size=chunk_size, autocast=nullcontext, rank=rank, num_ranks=num_ranks, reduce_sum=add
        )

    modules = build()
    towers = [
        [embed(modules[n], x, rank, n) for n, x in (("image", images), ("text", texts))] for rank in range(num_ranks)
    ]
    outcome = modules["objective"](Batch(towers[-1][0].leaves, towers[-1][1].leaves, index, similarity))
    outcome.loss.backward()
    for image, text in towers:
        for own, last in ((image, towers[-1][0]), (text, towers[-1][1])):
            own.leaves.grad = last.leaves.grad
            own.backward()
    return outcome.loss, gradients(modules)


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 4, 100])
def test_chunks_give_the_gradient_of_the_whole_batch(chunk_size):
    loss, expected = full_batch()
    cached_loss, got = cached(chunk_size)
    torch.testing.assert_close(cached_loss, loss)
    assert got.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_processes_that_share_a_batch_add_up_to_its_gradient(num_ranks):
    loss, expected = full_batch()
    cached_loss, got = cached(2, num_ranks)
    torch.testing.assert_close(cached_loss, loss)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-7, msg=name)


def test_more_processes_than_rows_are_refused():
    with pytest.raises(ValueError, match="2 rows for 3 processes"):
        CachedEmbeddings(
            TextTower(5, 6), {"features": torch.zeros(2, 5)}, chunk_size=None, autocast=nullcontext, num_ranks=3
        )
