"""Order the slices of a series by where they lie, and find those that are missing or there twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stages.imaging.dicom import Image
from stages.imaging.grouping import Slice
from stages.imaging.ledger import SetAside
from stages.imaging.pixels import BIG_ENDIAN, is_compressed
from stages.imaging.settings import ConversionSettings

# Slices closer than this lie at one position.
_SAME_POSITION_MM = 0.01

Mark = tuple[object, ...]


def drop_duplicates(slices: list[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Keep one copy of every image, an uncompressed one if there is one.

    Copies lie at one position and have the same SOPInstanceUID or the same numbers and times. Equal
    stored pixels make copies too, if without them every position is filled equally often: a series
    of volumes may well hold the same empty slice several times.

    Returns:
        The images kept and the copies, each in their first order.
    """
    kept, copies = _split_copies(slices, _marks)
    once, more = _split_copies(kept, _pixel_marks)
    return (once, copies + more) if more and num_repeats(once) else (kept, copies)


def sort_by_position(slices: list[Slice]) -> list[Slice]:
    """Order slices along the normal of their plane; repeats of a position by number, time and content."""
    positions = positions_mm(slices)
    order = sorted(range(len(slices)), key=lambda n: (round(float(positions[n]), 2), *_order(slices[n].image)))
    return [slices[n] for n in order]


def positions_mm(slices: list[Slice]) -> np.ndarray:
    """Position of each slice along the normal of the first one's plane, in mm."""
    cosines = np.array(slices[0].image.orientation)
    normal = np.cross(cosines[:3], cosines[3:])
    return np.array([item.image.position_mm for item in slices]) @ normal


def check_spacing(slices: list[Slice], settings: ConversionSettings) -> None:
    """Check that slices fill a volume evenly, each position equally often.

    Raises:
        SetAside: ``too_few_slices``, ``repeated_slices``, ``missing_slice``,
            ``uneven_spacing`` or ``shifted_slices``.
    """
    levels, _ = _levels_mm(slices)
    if len(levels) < settings.min_slices:
        raise SetAside("too_few_slices")
    if not num_repeats(slices):
        raise SetAside("repeated_slices")
    gaps = np.diff(levels)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    odd = gaps[np.abs(gaps - usual) > settings.spacing_tolerance_mm]
    if len(odd):
        multiples = np.round(odd / usual)
        is_whole = np.abs(odd - multiples * usual) <= settings.spacing_tolerance_mm * multiples
        raise SetAside("missing_slice" if (is_whole & (multiples >= 2)).all() else "uneven_spacing")
    if _max_shift_mm(slices) > settings.spacing_tolerance_mm:
        raise SetAside("shifted_slices")


def num_repeats(slices: list[Slice]) -> int:
    """How often every position is filled; 0 if not equally often."""
    _, counts = _levels_mm(slices)
    return int(counts[0]) if len(set(counts.tolist())) == 1 else 0


def plane(image: Image) -> str:
    """Name the plane of an image: axial, coronal or sagittal, oblique beyond 30 degrees from each."""
    cosines = np.array(image.orientation)
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    axis = int(normal.argmax())
    is_near = normal[axis] >= np.cos(np.deg2rad(30.0)) * np.linalg.norm(normal)
    return ("sagittal", "coronal", "axial")[axis] if is_near else "oblique"


def _levels_mm(slices: list[Slice]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct positions in ascending order, and how many slices lie at each."""
    positions = np.sort(positions_mm(slices))
    starts = np.flatnonzero(np.diff(positions, prepend=-np.inf) > _SAME_POSITION_MM)
    return positions[starts], np.diff(starts, append=len(positions))


def _max_shift_mm(slices: list[Slice]) -> float:
    """Largest distance of a slice from the line through the first and the last one."""
    along = positions_mm(slices)
    places = np.array([item.image.position_mm for item in slices])
    start, end = places[along.argmin()], places[along.argmax()]
    line = (end - start) / max(float(np.linalg.norm(end - start)), _SAME_POSITION_MM)
    offsets = places - start
    return float(np.linalg.norm(offsets - np.outer(offsets @ line, line), axis=1).max())


def _split_copies(slices: list[Slice], marks_of: Callable[[Image], set[Mark]]) -> tuple[list[Slice], list[Slice]]:
    seen: set[Mark] = set()
    is_copy: dict[int, bool] = {}
    for number in sorted(range(len(slices)), key=lambda n: _storage_rank(slices[n].image)):
        marks = marks_of(slices[number].image)
        is_copy[number] = bool(marks & seen)
        seen |= marks
    kept = [item for number, item in enumerate(slices) if not is_copy[number]]
    return kept, [item for number, item in enumerate(slices) if is_copy[number]]


def _storage_rank(image: Image) -> int:
    return 2 if is_compressed(image.protocol.transfer_syntax) else int(image.protocol.transfer_syntax == BIG_ENDIAN)


def _order(image: Image) -> tuple[tuple[str, ...], str]:
    return image.moment, image.pixel_digest


def _place(image: Image) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in image.position_mm or ())


def _marks(image: Image) -> set[Mark]:
    marks: set[Mark] = set()
    if image.sop_uid:
        marks.add(("sop", _place(image), image.sop_uid, image.frame))
    # An instance number alone is often the same throughout; with a time it tells one image.
    if image.frame is None and image.moment[0] and any(image.moment[2:]):
        marks.add(("moment", _place(image), *image.moment))
    return marks


def _pixel_marks(image: Image) -> set[Mark]:
    return {("pixels", _place(image), image.pixel_digest)} if image.pixel_digest else set()
