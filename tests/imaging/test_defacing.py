"""Faces are taken off, brains are not touched."""

import importlib.util
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from stages.imaging import defacing
from stages.imaging.defacing import find_brain, kept_voxels, require
from stages.imaging.grid import Grid, Image
from stages.imaging.preparation import _prepare_into_cache, _version, plan_studies
from stages.imaging.volumes import VolumeParams, prepare_study

SHAPE = (48, 60, 52)
SPACING_MM = 4.0
BRAIN_MM = np.array([65.0, 80.0, 60.0])
NOSE_MM = np.array([0.0, 95.0, -60.0])
FOREHEAD_MM = np.array([0.0, 88.0, 25.0])


@pytest.fixture
def head():
    """A head of ellipsoids: a brain in a skull, with a nose in front and below; 200 mm tall."""
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    voxels = np.where(_inside(affine, np.zeros(3), BRAIN_MM * 1.2), 40.0, 0.0)
    voxels = np.where(_inside(affine, np.zeros(3), BRAIN_MM), 100.0, voxels)
    voxels = np.where(_inside(affine, NOSE_MM, np.full(3, 12.0)), 70.0, voxels)
    return Image(voxels.astype(np.float32), affine)


@pytest.fixture
def finds_brain(monkeypatch):
    """A network that finds the brightest part of the head."""
    monkeypatch.setattr(defacing, "extract", lambda image: image.voxels > 90.0)


def _inside(affine, centre_mm, radii_mm):
    indices = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    points_mm = indices * affine.diagonal()[:3] + affine[:3, 3]
    return (((points_mm - centre_mm) / radii_mm) ** 2).sum(axis=-1) < 1


def _at(grid, point_mm):
    return tuple(np.rint((point_mm - grid.affine[:3, 3]) / grid.affine.diagonal()[:3]).astype(int))


def params(**values):
    defaults = {"spacing_mm": (4, 4, 4), "shape": SHAPE, "percentiles": (0.1, 99.9), "min_coverage": 0.3}
    return VolumeParams(**defaults, shard_prefix_digits=1, num_montages=0, **values)


def prepared(tmp_path, image, **values):
    """The volume that the stage makes of an image."""
    nib.save(nib.Nifti1Image(image.voxels, image.affine), tmp_path / "a.nii.gz")
    return prepare_study([tmp_path / "a.nii.gz"], ["T1"], params(**values))[0]


@pytest.mark.parametrize("anonymisation", ["deface", "brain"])
def test_the_brain_stays_whole_and_the_face_goes(head, anonymisation):
    grid = Grid(head.affine, SHAPE)
    brain = head.voxels > 90.0
    is_kept = kept_voxels(brain, head, grid, anonymisation)
    assert is_kept[brain].all()
    assert not is_kept[_at(grid, NOSE_MM)]
    assert is_kept[_at(grid, FOREHEAD_MM)] == (anonymisation == "deface")


def test_a_prepared_volume_shows_nothing_of_the_face(head, tmp_path, finds_brain):
    whole, _ = prepared(tmp_path, head)
    for anonymisation in ("deface", "brain"):
        volume, figures = prepared(tmp_path, head, anonymisation=anonymisation)
        grid = Grid(np.reshape(figures.affine, (4, 4)), SHAPE)
        assert whole[_at(grid, NOSE_MM)] > 100
        assert volume[_at(grid, NOSE_MM)] == 0
        assert volume[_at(grid, np.zeros(3))] == whole[_at(grid, np.zeros(3))] > 0


def test_a_study_without_a_plausible_brain_is_left_out_rather_than_shown(head, tmp_path, monkeypatch):
    monkeypatch.setattr(defacing, "extract", lambda image: image.voxels > 1000.0)
    assert find_brain(head) is None
    assert prepared(tmp_path, head, anonymisation="deface") is None
    monkeypatch.setattr(defacing, "extract", lambda image: np.ones(image.voxels.shape, dtype=bool))
    assert prepared(tmp_path, head, anonymisation="brain") is None


def test_an_image_that_the_network_cannot_read_shows_no_brain(head, monkeypatch):
    def fail(image):
        raise AssertionError("Not enough foreground")

    monkeypatch.setattr(defacing, "extract", fail)
    assert find_brain(head) is None


def test_a_grid_that_holds_no_brain_shows_nothing(head):
    affine = head.affine.copy()
    affine[:3, 3] += 1000.0
    assert not kept_voxels(head.voxels > 90.0, head, Grid(affine, SHAPE), "deface").any()


def test_volumes_with_faces_are_not_taken_from_the_cache_for_volumes_without():
    assert len({_version(params(anonymisation=name)) for name in ("none", "deface", "brain")}) == 3


def test_a_missing_package_is_told_before_anything_is_prepared(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require("none")
    with pytest.raises(ModuleNotFoundError, match=r'pip install --editable "\.\[deface\]"'):
        require("brain")


def test_the_network_finds_the_brain_of_a_simulated_head(head):
    mask = defacing.extract(head)
    assert mask.shape == SHAPE


def test_too_little_memory_is_not_taken_for_no_brain(head, monkeypatch):
    def fail(image):
        torch.empty(2**60, dtype=torch.float32)

    monkeypatch.setattr(defacing, "extract", fail)
    with pytest.raises(MemoryError):
        find_brain(head)


def test_a_process_that_takes_faces_off_uses_one_core(head, tmp_path, finds_brain, monkeypatch):
    nib.save(nib.Nifti1Image(head.voxels, head.affine), tmp_path / "a.nii.gz")
    row = {"study_id": "s", "series_id": "t", "nifti": "a.nii.gz", "sequence": "T1", "sha256": "a"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for anonymisation, num_threads in (("none", "2"), ("brain", "1")):
        values = params(anonymisation=anonymisation)
        _prepare_into_cache(plan_studies([row], values, tmp_path / "work")[0], tmp_path, values)
        assert os.environ["OMP_NUM_THREADS"] == num_threads
    program = "import torch; print(torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
