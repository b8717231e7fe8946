import numpy as np
import pytest

from stages.pretraining.masking import PatchMask

SIZE = 2


def head():
    is_head = np.zeros((4, 6, 4), dtype=bool)
    is_head[:, :4] = True
    return is_head


@pytest.mark.parametrize("is_head", [head(), head()[..., 0]], ids=["3D", "2D"])
def test_patch_means_are_those_of_a_slow_loop(is_head):
    volumes = np.random.default_rng(0).random((2, 3, *is_head.shape), dtype=np.float32)
    mask = PatchMask(is_head, SIZE, 3, 0.5)
    grid = tuple(size // SIZE for size in is_head.shape)
    means = mask.average(volumes)
    assert means.shape == (2, *mask.patches_shape)
    for p, place in enumerate(np.ndindex(grid)):
        block = (slice(None), slice(None), *(slice(SIZE * i, SIZE * i + SIZE) for i in place))
        expected = volumes[block].reshape(2, 3, -1).mean(axis=2)
        np.testing.assert_allclose(means[:, p], expected, rtol=1e-5)


def test_half_of_the_head_is_hidden_at_the_same_places_in_all_sequences():
    mask = PatchMask(head(), SIZE, 3, 0.5)
    volumes = np.ones((5, 3, 4, 6, 4), dtype=np.float32)
    before = mask.average(volumes)
    is_present = np.ones((5, 3), dtype=bool)
    is_present[0, 1] = False
    is_hidden = mask.hide(volumes, is_present, np.linspace(0.1, 0.9, 5))
    assert (is_hidden[1:].any(axis=2) == is_hidden[1:].all(axis=2)).all()
    assert not is_hidden[0, :, 1].any()
    # 2 x 2 x 2 of the 2 x 3 x 2 patches are of the head
    assert (is_hidden[..., 0].sum(axis=1) == 4).all()
    after = mask.average(volumes)
    assert (after[is_hidden] == 0).all()
    shown = ~is_hidden.any(axis=2)
    assert (after[shown] == before[shown]).all()
    assert len({tuple(row) for row in is_hidden[1:, :, 0].tolist()}) > 1


def test_the_same_number_hides_the_same_patches():
    mask = PatchMask(head(), SIZE, 1, 0.5)
    drawn = [mask.hide(np.ones((1, 1, 4, 6, 4), np.float32), np.ones((1, 1), bool), np.array([0.3])) for _ in range(2)]
    assert (drawn[0] == drawn[1]).all()
