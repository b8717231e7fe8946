import math

import pytest
import torch

from stages.pretraining.blocks import AttentionPool, ExtremePool

B, N, W = 3, 5, 4


def gelu(value):
    return 0.5 * value * (1 + math.erf(value / math.sqrt(2)))


def tokens():
    torch.manual_seed(0)
    return torch.randn(B, N, W)


def build(kind):
    torch.manual_seed(1)
    pool = ExtremePool(W) if kind == "extremes" else AttentionPool(W, num_queries=2)
    torch.nn.init.normal_(pool.norm.weight)
    torch.nn.init.normal_(pool.norm.bias)
    return pool


def test_extremes_are_the_slow_reference():
    pool, given = build("extremes"), tokens()
    got = pool(given)
    assert got.shape == (B, pool.feature_dim) == (B, 2 * W)
    for b in range(B):
        channels = [[gelu(given[b, n, w].item()) for n in range(N)] for w in range(W)]
        joined = [max(values) for values in channels] + [sum(values) / N for values in channels]
        mean = sum(joined) / len(joined)
        spread = math.sqrt(sum((value - mean) ** 2 for value in joined) / len(joined) + 1e-5)
        for i, value in enumerate(joined):
            expected = (value - mean) / spread * pool.norm.weight[i].item() + pool.norm.bias[i].item()
            assert got[b, i].item() == pytest.approx(expected, abs=1e-5)


def test_one_bright_token_among_many_shows_in_the_extremes():
    pool = ExtremePool(W)
    torch.manual_seed(0)
    quiet = torch.randn(1, 500, W) * 0.1
    lesion = quiet.clone()
    lesion[0, 123, 2] = 5.0
    assert (pool(lesion) - pool(quiet))[0, 2] > 1


@pytest.mark.parametrize("kind", ["extremes", "attention"])
def test_dense_is_what_a_token_alone_is_pooled_to(kind):
    pool, given = build(kind), tokens()
    dense = pool.dense(given)
    assert dense.shape == (B, N, pool.feature_dim)
    for n in range(N):
        torch.testing.assert_close(dense[:, n], pool(given[:, n : n + 1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["extremes", "attention"])
def test_the_order_of_tokens_does_not_matter(kind):
    pool, given = build(kind), tokens()
    torch.testing.assert_close(pool(given[:, [3, 0, 4, 1, 2]]), pool(given), rtol=1e-4, atol=1e-5)
