"""Registration of simulated heads whose place in the template is known."""

import numpy as np
import pytest
from simulated_heads import error_mm, true_affine, volume

from stages.artifacts.atlas_tables import IMPLAUSIBLE, OK
from stages.imaging.grid import Grid
from stages.imaging.registration import Registrar, RegistrationParams, flatten
from stages.imaging.template import load_maps
from stages.params import load

HEADS = range(8)
# Over the default cohort the mean is 3.7 mm and the largest 6.8 mm; the best affine is 2.6 mm off, as heads are
# warped too, no registration 22 mm, and centres laid together 8 mm.
MEAN_ERROR_MM = 4.6
MAX_ERROR_MM = 7.0


@pytest.fixture(scope="module")
def params():
    return load("register_atlas", RegistrationParams)


@pytest.fixture(scope="module")
def maps():
    return load_maps()


@pytest.fixture(scope="module")
def registrar(maps, params):
    return Registrar(maps, params)


@pytest.mark.parametrize("sequence", ["T1", "T1C", "FLAIR", "DWI"])
def test_heads_are_laid_into_the_template(registrar, sequence):
    found = [registrar.register(*volume(index, sequence)) for index in HEADS]
    assert {registration.status for registration in found} == {OK}
    errors = [error_mm(index, registration.to_mni) for index, registration in zip(HEADS, found, strict=True)]
    assert np.mean(errors) < MEAN_ERROR_MM
    assert max(errors) < MAX_ERROR_MM


def test_the_bound_tells_a_registration_from_none():
    assert min(error_mm(index, np.eye(4)) for index in HEADS) > 1.5 * MAX_ERROR_MM
    assert np.mean([error_mm(index, _centres_together(index)) for index in HEADS]) > 1.4 * MEAN_ERROR_MM
    assert np.mean([error_mm(index, true_affine(index)) for index in HEADS]) < 3.0


def _centres_together(index):
    _, grid = volume(index)
    shift = np.eye(4)
    shift[:3, 3] = [0.0, -16.5, 12.0] - (grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1.0])[:3]
    return shift


@pytest.mark.parametrize("angle_deg", [-12.0, 12.0])
def test_a_tilted_and_shifted_head_comes_to_the_same_place(registrar, angle_deg):
    voxels, grid = volume(1)
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    tilt[:3, 3] = [6.0, -8.0, 10.0]
    moved = registrar.register(voxels, Grid(tilt @ grid.affine, grid.shape))
    assert moved.status == OK
    assert error_mm(1, moved.to_mni @ tilt) < MAX_ERROR_MM


def test_equal_input_gives_equal_results_whatever_came_before(registrar, maps, params):
    first = registrar.register(*volume(0))
    registrar.register(*volume(2))
    for again in (registrar, Registrar(maps, params)):
        np.testing.assert_array_equal(again.register(*volume(0)).to_mni, first.to_mni)


def _grid(shape):
    return Grid.centred(np.zeros(3), (6.0, 6.0, 6.0), shape)


@pytest.mark.parametrize("kind", ["empty", "constant", "noise", "sliver", "slab"])
def test_what_is_no_head_is_implausible_and_raises_nothing(registrar, kind):
    shape = {"sliver": (1, 32, 24), "slab": (24, 32, 5)}.get(kind, (24, 32, 24))
    drawn = np.random.default_rng(0).integers(0, 255, shape)
    voxels = {"empty": np.zeros(shape), "constant": np.full(shape, 200)}.get(kind, drawn).astype(np.uint8)
    assert registrar.register(voxels, _grid(shape)).status == IMPLAUSIBLE


@pytest.mark.parametrize(
    "change", [{"min_information": 3.0}, {"min_overlap": 1.0, "margin_mm": 4.0}, {"determinants": (3.0, 4.0)}]
)
def test_an_implausible_registration_keeps_its_figures(maps, params, change):
    voxels, grid = volume(3)
    # without its upper third the volume does not hold the whole brain
    found = Registrar(maps, params.model_copy(update=change)).register(voxels[:, :, :16], _cut(grid))
    assert found.status == IMPLAUSIBLE
    assert found.metric > 0
    assert 0 < found.overlap < 1
    assert found.determinant > 0


def _cut(grid):
    return Grid(grid.affine, (grid.shape[0], grid.shape[1], 16))


def test_shading_is_divided_out_and_contrast_kept():
    is_bright = np.random.default_rng(0).random((24, 32, 24)) < 0.5
    shading = np.linspace(0.6, 1.4, 24)[:, None, None]
    voxels = np.where(is_bright, 120.0, 80.0) * shading
    voxels[:, [0, 1, -1, -2]] = 0.0
    flat = flatten(voxels, np.array([6.0, 6.0, 6.0]))

    def slope(values):
        return values[18:22, 2:-2].mean() / values[2:6, 2:-2].mean() - 1

    def contrast(values):
        inner, is_high = values[10:14, 2:-2], is_bright[10:14, 2:-2]
        return inner[is_high].mean() / inner[~is_high].mean()

    assert slope(flat) < 0.6 * slope(voxels)
    assert contrast(flat) == pytest.approx(contrast(voxels), rel=0.01)
    assert not flatten(np.zeros((4, 4, 4)), np.array([6.0, 6.0, 6.0])).any()
