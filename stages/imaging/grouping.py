"""Bring images together into series, one volume (or one row of equal volumes) each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from stages.artifacts.identity import SiteKey
from stages.imaging.dicom import Image

# Direction cosines closer than this are one orientation (about half a degree).
_ORIENTATION_TOLERANCE = 0.01
# b-values of one shell scatter by a few s/mm² from direction to direction.
_B_VALUE_STEP_S_MM2 = 50.0


@dataclass(frozen=True, slots=True)
class Slice:
    """An image and the number of the file that holds it."""

    file: int
    image: Image


@dataclass(slots=True)
class Group:
    """Images that belong into one NIfTI file, and what tells them from others of their series."""

    study_uid: str
    series_uid: str
    parts: tuple[str, ...]
    slices: list[Slice] = field(default_factory=list)

    @property
    def first(self) -> Image:
        """The image that was found first; it speaks for the protocol of all."""
        return self.slices[0].image

    def series_id(self, key: SiteKey) -> str:
        """Keyed hash of the series and the part of it that the group is."""
        return key.series_id(self.study_uid, self.series_uid, *self.parts)


def group_images(slices: Iterable[Slice]) -> list[Group]:
    """Group by SeriesInstanceUID and inside it by orientation, echo, image type, b-value and matrix.

    Returns:
        Groups in the order in which their first images come.
    """
    groups: dict[tuple[str, ...], Group] = {}
    orientations: dict[tuple[str, str], list[np.ndarray]] = {}
    for item in slices:
        identity = item.image.identity
        uids = (identity.study_uid, identity.series_uid)
        parts = _parts(item.image, orientations.setdefault(uids, []))
        groups.setdefault((*uids, *parts), Group(*uids, parts)).slices.append(item)
    return list(groups.values())


def echo_key(image: Image) -> str:
    """Echo time as it tells echoes apart."""
    return "" if image.echo_time_ms is None else f"{image.echo_time_ms:.1f}"


def _parts(image: Image, orientations: list[np.ndarray]) -> tuple[str, ...]:
    b_value = image.b_value_s_mm2
    shell = "" if b_value is None else str(round(b_value / _B_VALUE_STEP_S_MM2))
    spacing = ",".join(f"{value:.3f}" for value in image.pixel_spacing_mm)
    matrix = f"{image.rows}x{image.columns}"
    return _orientation_key(image, orientations), echo_key(image), "\\".join(image.image_type), shell, matrix, spacing


def _orientation_key(image: Image, known: list[np.ndarray]) -> str:
    """Name an orientation by the first image that has it, so that rounding never splits a series."""
    if image.orientation is None:
        return ""
    cosines = np.array(image.orientation)
    for other in known:
        if np.abs(other - cosines).max() < _ORIENTATION_TOLERANCE:
            return _name(other)
    known.append(cosines)
    return _name(cosines)


def _name(cosines: np.ndarray) -> str:
    return ",".join(f"{value:.2f}" for value in cosines + 0.0)
