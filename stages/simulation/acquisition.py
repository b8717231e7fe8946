"""Acquisition: slices through a head, with a coil's shading, noise and a patient who moves.

Geometry is kept as DICOM keeps it: patient axes L, P, S in mm. Shape legend: S slice, R row, K column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.imaging.template import SHAPE
from stages.simulation.anatomy import Head
from stages.simulation.contrast import MATTER, Protocol, signal, tissue_signals
from stages.simulation.fields import Floats, sample, smooth_field
from stages.simulation.lesions import Paint, lay

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
# Directions of a row and of a column (L, P, S), extent along both and across slices, in mm.
_PLANES = {
    "axial": ((1, 0, 0), (0, 1, 0), (192, 224, 146)),
    "coronal": ((1, 0, 0), (0, 0, -1), (192, 192, 196)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (224, 192, 152)),
}
_GHOST_SHARE = 0.12


@dataclass(frozen=True)
class Slices:
    """A stack of parallel slices.

    Attributes:
        origin_mm: centre of the first voxel of the first slice, LPS.
        row_direction: unit vector along which the column index grows.
        column_direction: unit vector along which the row index grows.
        spacing_mm: between rows, between columns, between slices.
        thickness_mm: of a slice; the rest of the slice spacing is a gap.
        shape: slices, rows, columns.
    """

    orientation: str
    origin_mm: np.ndarray
    row_direction: np.ndarray
    column_direction: np.ndarray
    spacing_mm: tuple[float, float, float]
    thickness_mm: float
    shape: tuple[int, int, int]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector from slice to slice."""
        return np.cross(self.row_direction, self.column_direction)

    def positions_mm(self) -> np.ndarray:
        """Position of the first voxel of each slice, LPS. Shape (S, 3)."""
        return self.origin_mm + np.outer(np.arange(self.shape[0]) * self.spacing_mm[2], self.normal)

    def points_ras_mm(self, depth_mm: float) -> Floats:
        """Every voxel's position at a depth inside the slice, RAS. Shape (3, S·R·K)."""
        steps = (self.normal, self.column_direction, self.row_direction)
        spacings = (self.spacing_mm[2], self.spacing_mm[0], self.spacing_mm[1])
        offsets = [
            np.outer(step * _LPS_TO_RAS, spacing * np.arange(n)).astype(np.float32)
            for step, spacing, n in zip(steps, spacings, self.shape, strict=True)
        ]
        start = ((self.origin_mm + depth_mm * self.normal) * _LPS_TO_RAS).astype(np.float32)
        along = start[:, None] + offsets[0]
        grid = along[:, :, None, None] + offsets[1][:, None, :, None] + offsets[2][:, None, None, :]
        return grid.reshape(3, -1)


def plan_slices(
    orientation: str, in_plane_mm: float, rng: np.random.Generator, num_slices: int | None = None
) -> Slices:
    """Prescribe a stack that covers the head, tilted as operators tilt it.

    Args:
        orientation: axial, coronal or sagittal.
        in_plane_mm: pixel size, varied by a few per cent.
        rng: random stream.
        num_slices: number of slices, instead of what covers the head.
    """
    row, column, (width_mm, height_mm, depth_mm) = _PLANES[orientation]
    tilt = _small_rotation(np.deg2rad(rng.normal(0, [5.0, 2.0, 2.0])))
    row_direction, column_direction = tilt @ np.array(row, float), tilt @ np.array(column, float)
    pixel_mm = round(in_plane_mm * rng.uniform(0.95, 1.05), 3)
    thickness_mm, gap_mm = float(rng.choice([5.5, 6.0, 6.5])), float(rng.choice([1.0, 1.2, 1.5]))
    spacing_mm = thickness_mm + gap_mm
    shape = (
        num_slices or int(np.ceil(depth_mm / spacing_mm)),
        2 * round(height_mm / pixel_mm / 2),
        2 * round(width_mm / pixel_mm / 2),
    )
    normal = np.cross(row_direction, column_direction)
    half_mm = [(shape[0] - 1) * spacing_mm / 2, (shape[1] - 1) * pixel_mm / 2, (shape[2] - 1) * pixel_mm / 2]
    centre_mm = rng.normal(0, 1.5, size=3)
    origin_mm = centre_mm - half_mm[0] * normal - half_mm[1] * column_direction - half_mm[2] * row_direction
    spacing = (pixel_mm, pixel_mm, spacing_mm)
    return Slices(orientation, origin_mm, row_direction, column_direction, spacing, thickness_mm, shape)


def acquire(
    head: Head,
    paints: list[Paint],
    protocol: Protocol,
    slices: Slices,
    rng: np.random.Generator,
    snr: float,
    *,
    is_ghosted: bool = False,
) -> Floats:
    """Image a head.

    Args:
        head: the patient.
        paints: lesions and artefacts over the template, later ones on top.
        protocol: the sequence.
        slices: where to look.
        rng: random stream.
        snr: signal of white matter over the noise.
        is_ghosted: whether motion repeats the head along the phase direction.

    Returns:
        Magnitude image (for ADC the coefficient in 10⁻³ mm²/s), shape (S, R, K).
    """
    contrast = _template_contrast(head, paints, protocol)
    image = _through_slices(contrast, head, slices)
    if is_ghosted and protocol.sequence != "ADC":
        image += _GHOST_SHARE * np.roll(image, image.shape[1] // 3, axis=1)
    reference = signal(MATTER["wm"], protocol)
    noise = rng.standard_normal((2, *slices.shape), dtype=np.float32) * np.float32(reference / snr)
    if protocol.sequence == "ADC":
        return np.where(image > 0.2, np.maximum(image + noise[0], 0), 0)
    shading = np.exp(0.10 * smooth_field(rng, slices.shape, 3)[0])
    return np.hypot(image * shading + noise[0], noise[1])


def _template_contrast(head: Head, paints: list[Paint], protocol: Protocol) -> Floats:
    contrast = np.tensordot(tissue_signals(protocol), head.tissues, axes=1)
    for paint in paints:
        if paint.sequence in (None, protocol.sequence):
            lay(contrast, paint, signal(MATTER[paint.matter], protocol))
    return contrast


def _through_slices(contrast: Floats, head: Head, slices: Slices) -> Floats:
    """Average over two planes within each slice."""
    total = np.zeros(slices.shape, dtype=np.float32)
    for depth_mm in (-0.25 * slices.thickness_mm, 0.25 * slices.thickness_mm):
        voxels = head.to_template(slices.points_ras_mm(depth_mm))
        total += sample(contrast[None], voxels, outside="zero").reshape(slices.shape)
    return total / 2


def label_map(
    head: Head, labels_XYZ: np.ndarray, spacing_mm: float, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a label map of the template into patient space.

    Args:
        head: the patient.
        labels_XYZ: labels over the template, uint8.
        spacing_mm: voxel size of the result.
        shape: voxels of the result along R, A, S.

    Returns:
        Labels on a grid about the scanner's centre, and its affine to RAS mm (4x4).
    """
    origin = -0.5 * spacing_mm * (np.array(shape) - 1)
    axes = [origin[a] + spacing_mm * np.arange(n) for a, n in enumerate(shape)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
    voxels = head.to_template(points)
    nearest = np.rint(voxels).astype(int)
    is_inside = np.all((nearest >= 0) & (nearest < np.array(SHAPE)[:, None]), axis=0)
    found = np.zeros(points.shape[1], dtype=np.uint8)
    found[is_inside] = labels_XYZ[tuple(nearest[:, is_inside])]
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = origin
    return found.reshape(shape), affine


def _small_rotation(angles: np.ndarray) -> np.ndarray:
    x, y, z = angles
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation, _ = np.linalg.qr(np.eye(3) + skew + 0.5 * skew @ skew)
    return rotation * np.sign(np.diag(rotation))
