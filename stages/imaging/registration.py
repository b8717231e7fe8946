"""Affine registration of a study to the ICBM152 template by mutual information.

A rigid search on coarse images comes before the affine one: started at once, twelve degrees of freedom shrink the
template into the middle of an image of low contrast. The coil's shading is divided out beforehand.
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
from stages.imaging.quality import head_mask
from stages.imaging.template import ORIGIN_MM, SPACING_MM, TemplateMaps
from stages.params import Params

# The template is compared at 6 mm: every second voxel, after a Gaussian of this many of them.
_STEP = 2
_SMOOTHING_VOXELS = 0.7
# What lies within this reach (standard deviation of a Gaussian) sets the level that intensities are divided by.
_SHADING_MM = 42.0
_LEAST_LEVEL, _LARGEST_RATIO = 0.2, 2.5
_BRAIN = 0.5


class RegistrationParams(Params):
    """Section ``register_atlas`` of the parameter file.

    Attributes:
        sequences: what is registered, best first.
        sufficient_information: mutual information in nat at which no further sequence of a study is tried.
        patch_size: edge of a patch in voxels.
        margin_mm: what lies farther outside the brain of the template is not compared.
        num_bins: of the joint histogram, along each axis.
        max_iterations: of the rigid search, and again of the affine one.
        sampled_share: share of the template's voxels that the affine search compares.
        seed: of the positions within those voxels.
        min_information: mutual information in nat below which a registration is not believed.
        min_overlap: least share of the template's brain that the volume covers.
        determinants: template volume over patient volume, smallest and largest that is believed.
    """

    sequences: tuple[Literal["T1", "T1C", "T2", "FLAIR", "DWI", "ADC", "SWI", "PD", "OTHER"], ...] = Field(min_length=1)
    sufficient_information: float = Field(ge=0)
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
    def rank(self) -> tuple[bool, float]:
        """The larger, the more it is to be believed."""
        return self.status == OK, self.metric or 0.0

    @property
    def determinant(self) -> float | None:
        """Template volume over patient volume."""
        return None if self.to_mni is None else float(np.linalg.det(self.to_mni[:3, :3]))


@dataclass(frozen=True)
class _Stage:
    """One search: by how much images are thinned and smoothed (voxels), share of points, first and last step (mm)."""

    shrink_factor: int
    sigma: float
    sampled_share: float
    first_step_mm: float
    last_step_mm: float


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
        moving = _image(flatten(volume, np.linalg.norm(grid.affine[:3, :3], axis=0)), grid.affine)
        coarse = _Stage(2, 1.0, 1.0, 4.0, 0.05)
        fine = _Stage(1, 0.0, self._params.sampled_share, 1.0, 0.02)
        try:
            rigid = self._start(moving)
            self._search(rigid, moving, coarse)
            affine = sitk.AffineTransform(rigid.GetMatrix(), rigid.GetTranslation(), rigid.GetCenter())
            cost = self._search(affine, moving, fine)
            to_mni = np.linalg.inv(_matrix(affine))
        # An image without contrast, or one that drifted out of the template, ends a search like this.
        except (RuntimeError, np.linalg.LinAlgError):
            return Registration(IMPLAUSIBLE)
        metric, overlap = -cost, self._overlap(to_mni, grid)
        low, high = self._params.determinants
        is_plausible = (
            metric >= self._params.min_information
            and overlap >= self._params.min_overlap
            and low <= np.linalg.det(to_mni[:3, :3]) <= high
        )
        return Registration(OK if is_plausible else IMPLAUSIBLE, metric, overlap, to_mni)

    def _start(self, moving: sitk.Image) -> sitk.Euler3DTransform:
        """The middle of the volume, which prepare_volumes lays into the head, in the middle of the template."""
        by = sitk.CenteredTransformInitializerFilter.GEOMETRY
        initial = sitk.CenteredTransformInitializer(self._fixed, moving, sitk.Euler3DTransform(), by)
        return sitk.Euler3DTransform(initial)

    def _search(self, transform: sitk.Transform, moving: sitk.Image, stage: _Stage) -> float:
        """Improve a transform in place; returns the negative mutual information."""
        search = sitk.ImageRegistrationMethod()
        search.SetMetricAsMattesMutualInformation(self._params.num_bins)
        search.SetMetricFixedMask(self._mask)
        search.SetMetricSamplingStrategy(search.REGULAR)
        search.SetMetricSamplingPercentage(stage.sampled_share, self._params.seed)
        search.SetInterpolator(sitk.sitkLinear)
        search.SetOptimizerAsRegularStepGradientDescent(
            stage.first_step_mm, stage.last_step_mm, self._params.max_iterations
        )
        search.SetOptimizerScalesFromPhysicalShift()
        search.SetShrinkFactorsPerLevel([stage.shrink_factor])
        search.SetSmoothingSigmasPerLevel([stage.sigma])
        search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        search.SetInitialTransform(transform, inPlace=True)
        search.Execute(self._fixed, moving)
        return float(search.GetMetricValue())

    def _overlap(self, to_mni: np.ndarray, grid: Grid) -> float:
        to_voxel = np.linalg.inv(to_mni @ grid.affine)
        voxels = self._brain_mm @ to_voxel[:3, :3].T + to_voxel[:3, 3]
        return float(((voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)).all(axis=1).mean())


def flatten(volume: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Divide a volume by the level of the head around each voxel, so that a coil's shading does not pass for contrast.

    Args:
        volume: R, A, S.
        spacing_mm: voxel spacing along the axes.

    Returns:
        Ratio to the level, at most 2.5; float32.
    """
    values = volume.astype(np.float32)
    weight = head_mask(values).astype(np.float32)
    sigma = _SHADING_MM / spacing_mm
    total, head = (ndimage.gaussian_filter(array, sigma, mode="constant") for array in (values * weight, weight))
    level = total / np.maximum(head, 1e-3)
    return np.minimum(values / np.maximum(level, max(_LEAST_LEVEL * level.max(), 1e-3)), _LARGEST_RATIO)


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
