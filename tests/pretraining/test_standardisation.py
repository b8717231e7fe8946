import math

import numpy as np
import pytest

from stages.pretraining.standardisation import FILE, STEP, Standardiser

SHAPES = {2: (2, 6, 4), 3: (2, 6, 4, 5)}


def draw(dims, count=5, seed=0):
    """Images that have the first sequence always and the second where their number is even."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        is_present = np.array([True, number % 2 == 0])
        voxels = rng.integers(0, 256, SHAPES[dims]).astype(np.uint8)
        voxels[~is_present] = 0
        images.append((voxels, is_present))
    return images


def fit(images):
    return Standardiser.fit(iter(images), images[0][0].shape)


def slow_head(volume):
    """A volume over the mean and spread of its own head, voxel by voxel."""
    head = [float(voxel) for voxel in volume.flat if voxel > 25.5]
    mean = sum(head) / max(len(head), 1)
    spread = math.sqrt(sum((voxel - mean) ** 2 for voxel in head) / max(len(head), 1))
    return {index: (float(voxel) - mean) / (spread + 12.75) for index, voxel in np.ndenumerate(volume)}


def mirror(index, size):
    return (size - 1 - index[0], *index[1:])


@pytest.mark.parametrize("dims", SHAPES)
def test_it_is_the_slow_reference(dims):
    images = draw(dims)
    fitted = fit(images)
    size = SHAPES[dims][1]
    for sequence in range(2):
        heads = [slow_head(voxels[sequence]) for voxels, is_present in images if is_present[sequence]]
        new = slow_head(images[0][0][sequence])
        got = fitted.apply(*images[0])[sequence]
        for index in np.ndindex(*SHAPES[dims][1:]):
            # A voxel and its mirror image are measured together.
            seen = [head[place] for head in heads for place in (index, mirror(index, size))]
            mean = sum(seen) / len(seen)
            deviation = math.sqrt(sum((value - mean) ** 2 for value in seen) / len(seen))
            assert fitted.mean_SX[sequence][index] == pytest.approx(mean, abs=1e-5)
            assert fitted.deviation_SX[sequence][index] == pytest.approx(deviation, abs=1e-5)
            # 127 steps are the most that int8 holds on both sides.
            expected = max(-127.0, min(127.0, (new[index] - mean) / (deviation + 0.2) / STEP))
            assert abs(float(got[index]) - expected) <= 0.5 + 1e-3


@pytest.mark.parametrize("dims", SHAPES)
def test_a_mirrored_image_standardises_to_the_mirrored_result(dims):
    images = draw(dims)
    fitted = fit(images)
    assert np.array_equal(fitted.mean_SX, fitted.mean_SX[:, ::-1])
    assert np.array_equal(fitted.deviation_SX, fitted.deviation_SX[:, ::-1])
    for voxels, is_present in [*images, *draw(dims, seed=1)]:
        np.testing.assert_array_equal(
            fitted.apply(voxels[:, ::-1], is_present), fitted.apply(voxels, is_present)[:, ::-1]
        )


def test_an_absent_sequence_is_zero_and_counts_for_nothing():
    images = draw(3)
    fitted = fit(images)
    result = fitted.apply(*images[1])
    assert result.dtype == np.int8
    assert result[0].any()
    assert not result[1].any()
    with_second = fit([image for image in images if image[1][1]])
    np.testing.assert_allclose(fitted.mean_SX[1], with_second.mean_SX[1], atol=1e-6)
    assert np.abs(fitted.mean_SX[0] - with_second.mean_SX[0]).max() > 0.01


def test_a_sequence_that_no_training_image_has_leaves_the_head_alone():
    voxels = draw(3)[0][0]
    fitted = Standardiser.fit([(voxels, np.array([True, False]))], voxels.shape)
    result = fitted.apply(voxels, np.array([True, True]))[1]
    expected = np.reshape(list(slow_head(voxels[1]).values()), voxels.shape[1:]) / 0.2 / STEP
    np.testing.assert_allclose(result, expected.clip(-127, 127), atol=0.51)


@pytest.mark.parametrize("value", [0, 20, 200, 255])
def test_constant_images_stay_finite(value):
    constant = np.full(SHAPES[3], value, dtype=np.uint8)
    is_present = np.array([True, True])
    fitted = fit([(constant, is_present)] * 2)
    assert np.isfinite(fitted.mean_SX).all()
    assert np.isfinite(fitted.deviation_SX).all()
    assert not fitted.apply(constant, is_present).any()
    (other, _) = draw(3)[0]
    changed = fitted.apply(other, is_present)
    assert changed.any()
    assert np.abs(changed.astype(int)).max() <= 127
    # And the other way round, by maps of images that vary.
    of_constant = fit(draw(3)).apply(constant, is_present).astype(int)
    assert np.abs(of_constant).max() <= 127


def test_maps_are_saved_and_loaded(tmp_path):
    images = draw(3)
    fitted = fit(images)
    fitted.save(tmp_path / "new" / "folder")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [FILE]
    loaded = Standardiser.load(tmp_path / "new" / "folder")
    assert np.array_equal(loaded.mean_SX, fitted.mean_SX)
    assert np.array_equal(loaded.deviation_SX, fitted.deviation_SX)
    assert np.array_equal(loaded.apply(*images[0]), fitted.apply(*images[0]))
