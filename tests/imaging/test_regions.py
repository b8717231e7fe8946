"""Regions on the template, and on the patches of a study."""

import numpy as np
import pytest
from simulated_heads import landmarks, template, true_affine, volume

from stages.imaging.grid import Grid
from stages.imaging.region_store import mirror
from stages.imaging.regions import SITES, RegionMap, list_regions, patch_numbers, refine
from stages.imaging.registration import Registrar, RegistrationParams
from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM, load_maps
from stages.params import load
from stages.reports.lexicon import Lexicon

REGIONS = list_regions()
# Two template voxels a voxel, about the midline and reaching beyond the template.
GRID = Grid.centred(np.array([0.0, -18.0, 9.0]), (6.0, 6.0, 6.0), (36, 44, 36))


@pytest.fixture(scope="module")
def maps():
    return load_maps()


@pytest.fixture(scope="module")
def region_map(maps):
    return RegionMap.draw(maps)


def test_regions_are_the_sites_of_the_lexicon_and_their_sides():
    lexicon = Lexicon.load("head_mri")
    assert list(SITES) == list(lexicon.sites)
    has_side = {code: site.rules.get("has_side", True) for code, site in lexicon.sites.items()}
    assert has_side | {"whole_brain": False} == SITES
    assert [region.number for region in REGIONS] == list(range(len(REGIONS)))
    assert len({region.name for region in REGIONS}) == len(REGIONS) == 39


def test_regions_fill_what_is_drawn(region_map):
    weight_RP = region_map.carry(np.eye(4), GRID, 4) / 255
    patch_ml = (4 * 6.0) ** 3 / 1000
    drawn = template().regions
    for site in SITES:
        rows = [region.number for region in REGIONS if region.site == site]
        volume_ml = drawn[site].sum() * SPACING_MM**3 / 1000
        assert weight_RP[rows].sum() * patch_ml == pytest.approx(volume_ml, rel=0.05, abs=0.3), site


def test_left_is_left_of_the_patient(region_map):
    weight_RP = region_map.carry(np.eye(4), GRID, 2).astype(float)
    right_mm = GRID.affine[0, 3] + 6.0 * (2 * (patch_numbers(GRID.shape, [18, 22, 18]) // 4) + 0.5) * 9
    assert set(np.unique(right_mm > 0)) == {False, True}
    along = weight_RP.reshape(len(REGIONS), 18, -1).sum(axis=-1) @ np.arange(-8.5, 9.0)
    for region in REGIONS:
        if region.side:
            assert (along[region.number] > 0) == (region.side == "right"), region.name


def test_weights_follow_the_affine(region_map):
    shift = np.eye(4)
    shift[:3, 3] = [24.0, 0.0, -24.0]
    plain = region_map.carry(np.eye(4), GRID, 4).reshape(-1, 9, 11, 9)
    moved = region_map.carry(shift, GRID, 4).reshape(-1, 9, 11, 9)
    np.testing.assert_array_equal(moved[:, :-1, :, 1:], plain[:, 1:, :, :-1])


def test_weights_equal_a_slow_look_up(region_map):
    drawn, (_, grid) = template().regions, volume(0)
    to_mni = true_affine(0)
    weight_RP = region_map.carry(to_mni, grid, 4)
    rng = np.random.default_rng(0)
    for patch in rng.integers(0, weight_RP.shape[1], 12):
        corner = 4 * np.array(np.unravel_index(patch, (6, 8, 6)))
        offsets = np.stack(np.meshgrid(*[np.arange(-0.25, 3.5, 0.5)] * 3, indexing="ij")).reshape(3, -1).T
        counts = np.zeros(len(REGIONS))
        for index in corner + offsets:
            point_mm = (to_mni @ grid.affine @ [*index, 1.0])[:3]
            voxel = np.rint((point_mm - ORIGIN_MM) / SPACING_MM).astype(int)
            if ((voxel >= 0) & (voxel < SHAPE)).all():
                side = "right" if point_mm[0] >= 0 else "left"
                counts += [drawn[r.site][tuple(voxel)] and r.side in (None, side) for r in REGIONS]
        np.testing.assert_allclose(weight_RP[:, patch], 255 * counts / len(offsets), atol=1.0)


def test_the_mirrored_weights_are_those_of_the_flipped_image(region_map):
    weight_RP = region_map.carry(true_affine(0), GRID, 4)
    grid = (9, 11, 9)
    mirrored = mirror(weight_RP, REGIONS, grid)
    numbers = {region.name: region.number for region in REGIONS}
    there = weight_RP.reshape(-1, *grid)
    here = mirrored.reshape(-1, *grid)
    for one, other in (("left insula", "right insula"), ("right thalamus", "left thalamus"), ("sella", "sella")):
        np.testing.assert_array_equal(here[numbers[one]], there[numbers[other]][::-1])
    np.testing.assert_array_equal(mirror(mirrored, REGIONS, grid), weight_RP)
    np.testing.assert_array_equal(mirror(np.stack([weight_RP] * 2), REGIONS, grid)[1], mirrored)


def test_mirroring_refuses_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 39, 8\)"):
        mirror(np.zeros((39, 9)), REGIONS, (2, 2, 2))


def test_registered_regions_lie_where_the_truth_has_them(region_map, maps):
    """Share of region and truth in common over patches (Dice), the mean over regions and heads."""
    registrar = Registrar(maps, load("register_atlas", RegistrationParams))
    found, none, best = [], [], []
    for index in range(6):
        voxels, grid = volume(index)
        truth = region_map.carry(true_affine(index), grid, 4).astype(float)
        for scores, affine in (
            (found, registrar.register(voxels, grid).to_mni),
            (none, np.eye(4)),
            (best, true_affine(index)),
        ):
            carried = region_map.carry(affine, grid, 4).astype(float)
            scores.append(2 * np.minimum(truth, carried).sum(axis=1) / (truth + carried).sum(axis=1).clip(min=1))
    assert np.mean(best) == pytest.approx(1.0)
    assert np.mean(found) > 0.8
    assert np.mean(none) < 0.6


def test_landmarks_fall_into_the_brain(region_map):
    patient_mm, mni_mm = landmarks(0)
    assert len(patient_mm) > 2000
    voxels = list(((mni_mm - ORIGIN_MM) / SPACING_MM).T)
    whole_brain = REGIONS[-1].number
    combinations = 2 * region_map._look_up(voxels) + (mni_mm[:, 0] >= 0)
    assert region_map.is_in_region_CR[combinations, whole_brain].all()


def test_voxels_are_divided_down_to_those_of_the_template():
    fine, factors = refine(Grid.centred(np.zeros(3), (6.0, 2.5, 3.0), (4, 6, 8)))
    assert factors == [2, 1, 1]
    assert fine.shape == (8, 6, 8)
    middle = fine.affine @ [*((np.array(fine.shape) - 1) / 2), 1.0]
    np.testing.assert_allclose(middle[:3], 0.0, atol=1e-12)
