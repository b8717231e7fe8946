import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.base import entropy, soft_targets
from stages.pretraining.objectives.clip import Clip
from stages.pretraining.objectives.selip import Selip, blend_similar, smooth_uniformly

FLOOR = 0.3


def selip(**values):
    return Selip(Selip.Params(**values), Facts(3, similarity_quantile=lambda level: FLOOR))


def random_similarity(count, seed=0):
    values = torch.rand(count, count, generator=torch.Generator().manual_seed(seed))
    return torch.maximum(values, values.T).fill_diagonal_(1)


def random_batch(seed=0, index=(0, 1, 2, 1, 3, 1), num_texts=4):
    random = torch.Generator().manual_seed(seed)
    image, text = torch.randn(len(index), 3, generator=random), torch.randn(num_texts, 3, generator=random)
    return Batch(image, text, torch.tensor(index), random_similarity(num_texts, seed))


def slow_loss(batch, weight, power, floor, temperature):
    """The formulas of the design, term by term."""
    image, text, index = batch.image_BD, batch.text_UD, batch.text_index_B.tolist()
    num_images, num_texts = len(image), len(text)
    count = [index.count(u) for u in range(num_texts)]
    kernel = [
        [
            0.0 if u == v else min(max((float(batch.similarity_UU[u, v]) - floor) / (1 - floor), 0), 1) ** power
            for v in range(num_texts)
        ]
        for u in range(num_texts)
    ]
    blend = [[0.0] * num_texts for _ in range(num_texts)]
    for u in range(num_texts):
        mass = sum(kernel[u])
        given_away = weight * min(1, mass)
        for v in range(num_texts):
            blend[u][v] = 1 - given_away if u == v else (given_away * kernel[u][v] / mass if mass else 0.0)
    z = [
        [float(torch.cosine_similarity(image[i], text[u], dim=0)) / temperature for u in range(num_texts)]
        for i in range(num_images)
    ]
    loss = 0.0
    for i in range(num_images):
        total = math.log(sum(math.exp(z[i][v]) for v in range(num_texts)))
        loss += sum(blend[index[i]][v] * (total - z[i][v]) for v in range(num_texts)) / num_images / 2
    for u in range(num_texts):
        total = math.log(sum(math.exp(z[i][u]) for i in range(num_images)))
        targets = [blend[u][index[i]] / count[index[i]] for i in range(num_images)]
        loss += count[u] / num_images * sum(t * (total - z[i][u]) for i, t in enumerate(targets)) / 2
    return loss


@pytest.mark.parametrize(("weight", "power"), [(0.5, 1.0), (0.8, 3.0), (0.0, 1.0)])
def test_it_is_the_slow_loop(weight, power):
    batch = random_batch()
    expected = slow_loss(batch, weight, power, FLOOR, 0.07)
    assert selip(weight=weight, power=power)(batch).loss.item() == pytest.approx(expected, rel=1e-5)


def test_two_pairs_by_hand():
    # S_01 = 0.65 is half way above s0 = 0.3: K = 1/2, N = 1/2, w_u = 0.4 / 2, so A = [[0.8, 0.2], [0.2, 0.8]].
    # Z = I at temperature 1: each row costs log(1 + e) - 0.8.
    batch = Batch(torch.eye(2), torch.eye(2), torch.arange(2), torch.tensor([[1.0, 0.65], [0.65, 1.0]]))
    outcome = selip(weight=0.4, temperature=1.0)(batch)
    assert outcome.loss.item() == pytest.approx(math.log(1 + math.e) - 0.8)
    assert outcome.logged["own_mass"].item() == pytest.approx(0.8)
    spread = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert outcome.logged["effective_targets"].item() == pytest.approx(math.exp(spread))
    assert outcome.logged["excess"].item() == pytest.approx(outcome.loss.item() - spread, abs=1e-6)


def test_without_weight_and_with_distinct_texts_it_is_clip():
    batch = random_batch(index=(2, 0, 3, 1))
    expected = Clip(Clip.Params(), Facts(3))(batch).loss
    torch.testing.assert_close(selip(weight=0.0)(batch).loss, expected)


def test_without_weight_it_needs_no_similarity():
    batch = random_batch()
    bare = Batch(batch.image_BD, batch.text_UD, batch.text_index_B)
    assert Selip.needs(Selip.Params(weight=0.0)) == frozenset()
    torch.testing.assert_close(selip(weight=0.0)(bare).loss, selip(weight=0.0)(batch).loss)


def test_similarity_that_is_needed_and_missing_is_refused():
    batch = random_batch()
    with pytest.raises(ValueError, match="similarity: expected a tensor, got None"):
        selip()(Batch(batch.image_BD, batch.text_UD, batch.text_index_B))
    with pytest.raises(ValueError, match="similarity: expected one for SeLIP, got none"):
        Selip(Selip.Params(), Facts(3))


def test_the_released_form_is_clip_and_the_divergence_to_row_normalised_similarity():
    batch = random_batch(index=(2, 0, 3, 1))
    similarity = batch.similarity_UU[batch.text_index_B][:, batch.text_index_B]
    text = batch.text_UD[batch.text_index_B]
    z = [[float(torch.cosine_similarity(v, t, dim=0)) / 0.07 for t in text] for v in batch.image_BD]
    expected = Clip(Clip.Params(), Facts(3))(batch).loss.item()
    for i in range(4):
        for rows in (z, [list(column) for column in zip(*z, strict=True)]):
            total = math.log(sum(math.exp(value) for value in rows[i]))
            for j in range(4):
                q = float(similarity[i, j] / similarity[i].sum())
                expected += q * (math.log(q) - (rows[i][j] - total)) / 2 / 4
    objective = selip(form="released")
    assert objective(batch).loss.item() == pytest.approx(expected, rel=1e-4)
    assert not any(parameter.requires_grad for parameter in objective.parameters())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    weight=st.floats(0, 0.99),
    power=st.floats(0.1, 8),
    floor=st.floats(0, 1),
    index=st.lists(st.integers(0, 4), min_size=1, max_size=12),
)
def test_targets_are_probabilities_and_a_text_keeps_its_own_mass(seed, weight, power, floor, index):
    texts, index_B = torch.unique(torch.tensor(index), return_inverse=True)
    blend_UU = blend_similar(random_similarity(len(texts), seed), weight=weight, power=power, floor=floor)
    image_targets_BU, text_targets_UB = soft_targets(blend_UU, index_B, torch.bincount(index_B).float())
    for targets in (blend_UU, image_targets_BU, text_targets_UB):
        assert (targets >= 0).all()
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    assert (blend_UU.diagonal() >= 1 - weight - 1e-5).all()


def test_a_larger_batch_does_not_dilute_a_text():
    own = [blend_similar(torch.ones(n, n), weight=0.5, power=1, floor=0.3)[0, 0].item() for n in (2, 8, 64)]
    assert own == pytest.approx([0.5, 0.5, 0.5])


def test_uniform_smoothing_has_the_same_mean_entropy():
    share_U = torch.tensor([0.4, 0.3, 0.2, 0.1])
    blend_UU = blend_similar(random_similarity(4), weight=0.6, power=1, floor=0.2)
    smooth_UU = smooth_uniformly(blend_UU, share_U)
    torch.testing.assert_close(smooth_UU.sum(dim=1), torch.ones(4))
    assert (share_U * entropy(smooth_UU)).sum().item() == pytest.approx(
        (share_U * entropy(blend_UU)).sum().item(), abs=1e-5
    )
    off_diagonal = smooth_UU[~torch.eye(4, dtype=torch.bool)]
    assert off_diagonal.unique().numel() == 1


def test_smoothing_of_one_text_leaves_it_alone():
    assert smooth_uniformly(torch.ones(1, 1), torch.ones(1)).tolist() == [[1.0]]
