"""Random fields, and sampling them."""

import numpy as np
import pytest
from scipy import ndimage

from stages.simulation.fields import sample


def places_about(shape, margin, num=400):
    random = np.random.default_rng(3)
    size = np.array(shape, dtype=np.float32)[:, None] - 1
    return (random.random((3, num), dtype=np.float32) * (size + 2 * margin) - margin).astype(np.float32)


FIELD = np.random.default_rng(2).standard_normal((2, 5, 6, 7)).astype(np.float32)


@pytest.mark.parametrize(("outside", "mode", "margin"), [("nearest", "nearest", 3), ("zero", "constant", 0)])
def test_samples_are_those_of_scipy_channel_by_channel(outside, mode, margin):
    places = places_about(FIELD.shape[1:], margin)
    expected = [ndimage.map_coordinates(channel, places, order=1, mode=mode) for channel in FIELD]
    np.testing.assert_allclose(sample(FIELD, places, outside=outside), expected, atol=1e-4)


def test_nothing_lies_a_voxel_outside():
    places = places_about(FIELD.shape[1:], 4)
    last = np.array(FIELD.shape[1:])[:, None] - 1
    is_far = ((places < -1) | (places > last + 1)).any(axis=0)
    assert is_far.sum() > 100
    assert not sample(FIELD, places[:, is_far], outside="zero").any()
