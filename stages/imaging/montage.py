"""Pictures of prepared volumes for a quick look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_PANEL_INCHES = 1.6
_DPI = 80


def write_montage(path: Path, title: str, volumes: Sequence[tuple[str, np.ndarray]]) -> None:
    """Draw the middle axial, coronal and sagittal slice of each volume; the patient's right is on the left.

    Args:
        path: PNG file to write.
        title: id of the study.
        volumes: sequence and volume (uint8; R, A, S) of each row of the picture.
    """
    figure = Figure(figsize=(3 * _PANEL_INCHES, len(volumes) * _PANEL_INCHES + 0.4), facecolor="black")
    axes = figure.subplots(len(volumes), 3, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, wspace=0.02, hspace=0.15)
    for row, (sequence, volume) in enumerate(volumes):
        for axis, plane in zip(axes[row], _middle_slices(volume), strict=True):
            axis.imshow(plane, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_axis_off()
        axes[row][0].set_title(sequence, color="white", fontsize=8, loc="left", pad=2)
    figure.suptitle(title, color="white", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def _middle_slices(volume: np.ndarray) -> list[np.ndarray]:
    """Axial, coronal and sagittal plane as radiologists look at them: anterior or superior up."""
    right, front, top = (size // 2 for size in volume.shape)
    planes = (volume[::-1, :, top], volume[::-1, front, :], volume[right, ::-1, :])
    return [plane.T[::-1] for plane in planes]
