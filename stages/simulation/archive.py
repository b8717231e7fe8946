"""The DICOM archive of one study, as a PACS exports it: files in no order, a few oddities."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.simulation.acquisition import Slices, acquire, plan_slices
from stages.simulation.cohort import CohortParams, Visit, stream
from stages.simulation.contrast import MATTER, Protocol, signal
from stages.simulation.dicom_writer import SeriesWriter, SliceFile
from stages.simulation.headers import VENDORS, make_uid, series_header
from stages.simulation.patient import Patient, draw_artefacts

_ZIP_TIME = (2024, 1, 1, 0, 0, 0)
_SYNTAXES = {"explicit": 0.77, "implicit": 0.15, "jpeg2000": 0.04, "rle": 0.04}
_REVERSED_SHARE = 0.2
_LOCALISER_SHARE = 0.2
_REFORMAT_SHARE = 0.06
_GHOST_SHARE = 0.08
_LOCALISER_MM = 6.0
# JPEG 2000 with the usual six resolutions takes no smaller image.
_SMALLEST_JPEG2000 = 32
# Shares of the planes other than axial.
_OTHER_PLANES = {"T1": ("sagittal", 0.12), "T1C": ("coronal", 0.10), "T2": ("coronal", 0.05)}
_PHILIPS_SLOPE = 1.3712


@dataclass(frozen=True)
class _Series:
    protocol: Protocol
    stacks: tuple[Slices, ...]
    kind: str = "primary"


def study_archive(params: CohortParams, visit: Visit, patient: Patient) -> bytes:
    """Image a patient and pack the DICOM files of the study into one ZIP archive."""
    rng = stream(params, visit.key.set, "image", visit.key.index)
    habits = stream(params, visit.key.set, "headers", visit.key.index)
    syntax = str(habits.choice(list(_SYNTAXES), p=list(_SYNTAXES.values())))
    paints = [*patient.paints(), *draw_artefacts(params, rng)]
    snr = rng.uniform(*params.snr)
    files: list[bytes] = []
    for number, series in enumerate(_plan_series(params, visit, habits), start=1):
        is_ghosted = rng.random() < _GHOST_SHARE
        images = [
            acquire(patient.head, paints, series.protocol, stack, rng, snr, is_ghosted=is_ghosted)
            for stack in series.stacks
        ]
        level = VENDORS[visit.vendor].white_matter_level * rng.uniform(0.8, 1.25)
        stored = [_to_stored(image, series.protocol, level) for image in images]
        is_reversed = habits.random() < _REVERSED_SHARE
        files += _encode_series(visit, series, stored, number, syntax, is_reversed=is_reversed)
    return _zip([files[index] for index in habits.permutation(len(files))])


def _plan_series(params: CohortParams, visit: Visit, rng: np.random.Generator) -> list[_Series]:
    planned: list[_Series] = []
    stack = None
    if rng.random() < _LOCALISER_SHARE:
        stacks = tuple(plan_slices(plane, _LOCALISER_MM, rng, 1) for plane in ("axial", "coronal", "sagittal"))
        planned.append(_Series(visit.protocols[0], stacks, "localiser"))
    for protocol in visit.protocols:
        plane, share = _OTHER_PLANES.get(protocol.sequence, ("axial", 0.0))
        chosen = plane if rng.random() < share else "axial"
        # the coefficient is computed from the diffusion series, on its slices
        if protocol.sequence != "ADC" or stack is None:
            stack = plan_slices(chosen, params.in_plane_mm, rng)
        planned.append(_Series(protocol, (stack,)))
    if visit.protocols[0].sequence == "T1" and rng.random() < _REFORMAT_SHARE:
        reformat = plan_slices("coronal", params.in_plane_mm, rng, 8)
        planned.append(_Series(visit.protocols[0], (reformat,), "reformat"))
    return planned


def _to_stored(image: np.ndarray, protocol: Protocol, level: float) -> np.ndarray:
    """Scale to 12-bit integers; an ADC series holds 10⁻⁶ mm²/s."""
    scale = 1000.0 if protocol.sequence == "ADC" else level / signal(MATTER["wm"], protocol)
    return np.clip(np.rint(image * scale), 0, 4095).astype("<u2")


def _encode_series(
    visit: Visit, series: _Series, stored: list[np.ndarray], number: int, syntax: str, *, is_reversed: bool
) -> Iterator[bytes]:
    instance = 0
    for stack, image in zip(series.stacks, stored, strict=True):
        header = series_header(visit, series.protocol, stack, number, series.kind)
        header.WindowCenter, header.WindowWidth = int(image.max()) // 3, max(1, int(image.max()) * 2 // 3)
        if visit.vendor == "PHILIPS":
            header.RescaleIntercept, header.RescaleSlope, header.RescaleType = 0.0, _PHILIPS_SLOPE, "normalized"
        is_too_small = syntax == "jpeg2000" and min(stack.shape[1:]) < _SMALLEST_JPEG2000
        writer = SeriesWriter(header, stack.shape[1:], "explicit" if is_too_small else syntax)
        order = range(len(image))[::-1] if is_reversed else range(len(image))
        positions_mm = stack.positions_mm()
        for index in order:
            instance += 1
            uid = make_uid(visit.accession_number, "image", str(number), str(instance))
            directions = (stack.row_direction, stack.column_direction)
            yield writer.encode(SliceFile(uid, instance, positions_mm[index], *directions, image[index]))


def _zip(files: list[bytes]) -> bytes:
    """Pack files under numbers that say nothing of their order, with fixed times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, content in enumerate(files):
            info = zipfile.ZipInfo(f"DICOM/IM{number:06d}", date_time=_ZIP_TIME)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(info, content)
    return buffer.getvalue()
