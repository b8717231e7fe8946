"""Affine registration of a study to the ICBM152 template by mutual information.

All coordinates are RAS mm. SimpleITK calls its physical space LPS, which plays no role here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from pydantic import Field
from scipy import ndimage

from stages.artifacts.atlas_tables import IMPLAUSIBLE, OK
from stages.imaging.grid import Grid
from stages.imaging.template import ORIGIN_MM, SPACING_MM, TemplateMaps
from stages.params import Params

# The template is compared at 6 mm: every second voxel, smoothed by as many voxels beforehand.
_STEP = 2
_SMOOTHING_VOXELS = 0.7
# Coarse to fine; smoothing in voxels of the images, steps in mm.
_SHRINK_FACTORS = (2, 1)
_SMOOTHING_SIGMAS = (1.0, 0.0)
_FIRST_STEP_MM = 4.0
_LAST_STEP_MM = 0.02
_BRAIN = 0.5


class RegistrationParams(Params):
    """Section ``register_atlas`` of the parameter file.

    Attributes:
        sequences: what is registered: the first of these that a study has.
        patch_size: edge of a patch in voxels.
        margin_mm: what lies farther outside the brain of the template is not compared.
        num_bins: of the joint histogram, along each axis.
        max_iterations: at each of two resolutions.
        sampled_share: share of the template's voxels that the finer one compares.
        seed: of the positions within those voxels.
        min_information: mutual information in nat below which a registration is not believed.
        min_overlap: least share of the template's brain that the volume covers.
        determinants: template volume over patient volume, smallest and largest that is believed.
    """

    sequences: tuple[Literal["T1", "T1C", "T2", "FLAIR", "DWI", "ADC", "SWI", "PD", "OTHER"], ...] = Field(min_length=1)
    patch_size: int = Field(ge=1)
    margin_mm: float = Field(ge=0)
    num_bins: int = Field(ge=5)
    max_iterations: int = Field(ge=1)
    sampled_share: float = Field(gt=0, le=1)
    seed: int = Field(ge=1, description="0 would stand for the clock")
    min_information: float = Field(ge=0)
    min_overlap: float = Field(ge=0, le=1)
    determinants: tuple[float, float]


@dataclass(frozen=True)
class Registration:
    """How a study lies in the template.

    Attributes:
        status: ``ok`` or ``implausible``.
        metric: mutual information in nat; None where the search failed.
        overlap: share of the template's brain that the volume covers.
        to_mni: patient RAS mm → MNI mm, 4x4.
    """

    status: str
    metric: float | None = None
    overlap: float | None = None
    to_mni: np.ndarray | None = None

    @property
    def determinant(self) -> float | None:
        """Template volume over patient volume."""
        return None if self.to_mni is None else float(np.linalg.det(self.to_mni[:3, :3]))


class Registrar:
    """Registers volumes to the template, one after another; equal input gives equal results."""

    def __init__(self, maps: TemplateMaps, params: RegistrationParams) -> None:
        # One thread, so that sums have one order; the cores work on different studies.
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        self._params = params
        affine = np.diag([_STEP * SPACING_MM] * 3 + [1.0])
        affine[:3, 3] = ORIGIN_MM
        thinned = (slice(None, None, _STEP),) * 3
        t1 = ndimage.gaussian_filter(maps.t1 * maps.is_inside, _SMOOTHING_VOXELS)[thinned]
        self._fixed = _image(t1, affine)
        self._mask = sitk.Cast(_image((maps.depth_mm > -params.margin_mm)[thinned], affine), sitk.sitkUInt8)
        is_brain = (maps.gm + maps.wm > _BRAIN)[thinned]
        self._brain_mm = np.argwhere(is_brain) @ affine[:3, :3].T + ORIGIN_MM

    def register(self, volume: np.ndarray, grid: Grid) -> Registration:
        """Find the affine from a study to the template.

        Args:
            volume: voxels of one sequence; R, A, S.
            grid: where they lie.
        """
        moving = _image(volume, grid.affine)
        transform = self._start(moving)
        search = self._search()
        search.SetInitialTransform(transform, inPlace=True)
        try:
            search.Execute(self._fixed, moving)
            to_mni = np.linalg.inv(_matrix(transform))
        # An image without contrast, or one that drifted out of the template, ends the search like this.
        except (RuntimeError, np.linalg.LinAlgError):
            return Registration(IMPLAUSIBLE)
        metric, overlap = -float(search.GetMetricValue()), self._overlap(to_mni, grid)
        low, high = self._params.determinants
        is_plausible = (
            metric >= self._params.min_information
            and overlap >= self._params.min_overlap
            and low <= np.linalg.det(to_mni[:3, :3]) <= high
        )
        return Registration(OK if is_plausible else IMPLAUSIBLE, metric, overlap, to_mni)

    def _start(self, moving: sitk.Image) -> sitk.AffineTransform:
        """The middle of the volume, which prepare_volumes lays into the head, in the middle of the template."""
        by = sitk.CenteredTransformInitializerFilter.GEOMETRY
        return sitk.AffineTransform(sitk.CenteredTransformInitializer(self._fixed, moving, sitk.AffineTransform(3), by))

    def _search(self) -> sitk.ImageRegistrationMethod:
        search = sitk.ImageRegistrationMethod()
        search.SetMetricAsMattesMutualInformation(self._params.num_bins)
        search.SetMetricFixedMask(self._mask)
        search.SetMetricSamplingStrategy(search.REGULAR)
        search.SetMetricSamplingPercentagePerLevel([1.0, self._params.sampled_share], self._params.seed)
        search.SetInterpolator(sitk.sitkLinear)
        search.SetOptimizerAsRegularStepGradientDescent(_FIRST_STEP_MM, _LAST_STEP_MM, self._params.max_iterations)
        search.SetOptimizerScalesFromPhysicalShift()
        search.SetShrinkFactorsPerLevel(_SHRINK_FACTORS)
        search.SetSmoothingSigmasPerLevel(_SMOOTHING_SIGMAS)
        search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        return search

    def _overlap(self, to_mni: np.ndarray, grid: Grid) -> float:
        to_voxel = np.linalg.inv(to_mni @ grid.affine)
        voxels = self._brain_mm @ to_voxel[:3, :3].T + to_voxel[:3, 3]
        return float(((voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)).all(axis=1).mean())


def _image(values: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """An image whose physical space is RAS mm."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T, dtype=np.float32))
    image.SetSpacing(spacing_mm.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing_mm).ravel().tolist())
    return image


def _matrix(transform: sitk.AffineTransform) -> np.ndarray:
    """4x4 of an affine transform."""
    linear = np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre + np.array(transform.GetTranslation()) - linear @ centre
    return matrix
