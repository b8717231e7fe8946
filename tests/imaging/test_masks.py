"""Label maps on the grid of the volumes."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from stages.imaging.grid import Grid, Image
from stages.imaging.masks import read_label_map, resample_labels


def spaced(spacing_mm, offset_mm=0.0):
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = offset_mm
    return affine


def slow_resample(mask, grid, num_points):
    """Count the points of every voxel one by one."""
    found = np.zeros(grid.shape, int)
    to_mask = np.linalg.inv(mask.affine) @ grid.affine
    steps = (np.arange(num_points) + 0.5) / num_points - 0.5
    for voxel in np.ndindex(*grid.shape):
        counts = np.zeros(256)
        for offset in itertools.product(steps, repeat=3):
            index = np.rint(to_mask[:3, :3] @ (np.array(voxel) + offset) + to_mask[:3, 3]).astype(int)
            if (index >= 0).all() and (index < mask.voxels.shape).all():
                counts[mask.voxels[tuple(index)]] += 1
        if counts[1:].sum() / num_points**3 >= 0.5:
            found[voxel] = counts[1:].argmax() + 1
    return found


@pytest.mark.parametrize("is_tilted", [False, True])
def test_a_coarser_grid_agrees_with_a_slow_loop(is_tilted):
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 3, (3, 3, 3)), np.ones((3, 3, 3))).astype(np.uint8)
    affine = spaced((4.0, 4.0, 4.0), 1.3)
    if is_tilted:
        cosine, sine = np.cos(0.2), np.sin(0.2)
        affine = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ affine
    mask, grid = Image(labels, affine), Grid(spaced((6.0, 6.0, 6.0)), (6, 6, 6))
    found = resample_labels(mask, grid)
    assert set(np.unique(found)) == {0, 1, 2}
    np.testing.assert_array_equal(found, slow_resample(mask, grid, num_points=6))


def test_a_finer_grid_repeats_the_mask():
    labels = np.random.default_rng(1).integers(0, 4, (4, 4, 4)).astype(np.uint8)
    found = resample_labels(Image(labels, spaced((4.0,) * 3)), Grid(spaced((2.0,) * 3, -1.0), (8, 8, 8)))
    np.testing.assert_array_equal(found, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_a_lesion_smaller_than_a_voxel_keeps_its_best_voxel():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[7, 4, 4] = 5
    found = resample_labels(Image(labels, spaced((1.0,) * 3)), Grid(spaced((6.0,) * 3, 2.5), (2, 2, 2)))
    assert np.argwhere(found).tolist() == [[1, 0, 0]]
    assert found[1, 0, 0] == 5


def test_a_small_lesion_does_not_take_the_last_voxel_of_another():
    labels = np.zeros((12, 6, 6), np.uint8)
    labels[:6] = 1
    labels[5, 2, 2] = 2
    labels[6, 2, 2] = 2
    found = resample_labels(Image(labels, spaced((1.0,) * 3)), Grid(spaced((6.0,) * 3, 2.5), (2, 1, 1)))
    assert found.ravel().tolist() == [1, 2]


def test_lesions_outside_the_grid_leave_nothing():
    labels = np.ones((3, 3, 3), np.uint8)
    assert not resample_labels(Image(labels, spaced((4.0,) * 3, 500.0)), Grid(spaced((6.0,) * 3), (4, 4, 4))).any()


@pytest.mark.parametrize("value", [0.4, -1.0, 256.0])
def test_what_is_no_label_map_is_refused(tmp_path, value):
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), value, np.float32), np.eye(4)), tmp_path / "m.nii.gz")
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        read_label_map(tmp_path / "m.nii.gz")
