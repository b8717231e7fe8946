"""Bring images together into series, one volume (or one row of equal volumes) each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from stages.artifacts.identity import SiteKey
from stages.imaging.clusters import name_clusters
from stages.imaging.dicom import Image
from stages.imaging.diffusion import name_shells

# Direction cosines closer than this are one orientation (about half a degree).
_ORIENTATION_TOLERANCE = 0.01
_FIRST_ECHO = ("", "0", "1")
# Times of one echo scatter by some hundredths of a millisecond from slice to slice.
_MAX_STEP_MS = 0.1
_MAX_SPREAD_MS = 0.2


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
    items = list(slices)
    b_values: dict[tuple[str, str], set[float]] = defaultdict(set)
    times_ms: dict[tuple[str, str], set[float]] = defaultdict(set)
    for item in items:
        if item.image.b_value_s_mm2 is not None:
            b_values[_uids(item.image)].add(item.image.b_value_s_mm2)
        if item.image.echo_time_ms is not None:
            times_ms[_uids(item.image)].add(item.image.echo_time_ms)
    shells = {uids: name_shells(values) for uids, values in b_values.items()}
    echoes = {uids: _name_echoes(values) for uids, values in times_ms.items()}
    groups: dict[tuple[str, ...], Group] = {}
    orientations: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for item in items:
        uids = _uids(item.image)
        echo = _echo_key(item.image, echoes.get(uids, {}))
        parts = _parts(item.image, orientations[uids], echo, shells.get(uids, {}))
        groups.setdefault((*uids, *parts), Group(*uids, parts)).slices.append(item)
    return list(groups.values())


def _name_echoes(times_ms: Iterable[float]) -> dict[float, str]:
    return name_clusters(
        times_ms, max_step=_MAX_STEP_MS, max_spread=_MAX_SPREAD_MS, name_of=lambda middle: f"{middle:.1f}"
    )


def _echo_key(image: Image, names: Mapping[float, str]) -> str:
    """Echo time as it tells echoes apart; the number of a later echo where there is no time."""
    if image.echo_time_ms is not None:
        return names[image.echo_time_ms]
    return "" if image.echo_number in _FIRST_ECHO else f"#{image.echo_number}"


def _uids(image: Image) -> tuple[str, str]:
    return image.identity.study_uid, image.identity.series_uid


def _parts(image: Image, orientations: list[np.ndarray], echo: str, shells: Mapping[float, str]) -> tuple[str, ...]:
    shell = "" if image.b_value_s_mm2 is None else shells[image.b_value_s_mm2]
    spacing = ",".join(f"{value:.3f}" for value in image.pixel_spacing_mm)
    matrix = f"{image.rows}x{image.columns}"
    return _orientation_key(image, orientations), echo, "\\".join(image.image_type), shell, matrix, spacing


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
