"""Parts of the complex image, diffusion weightings, and frames of enhanced objects."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dicom_files as df
import numpy as np
from failure_classes.case import (
    DIFFUSION,
    GE,
    Case,
    as_file,
    changed,
    odd,
    series_uids,
    set_aside,
    two_volumes,
    used,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    LegacyConvertedEnhancedMRImageStorage,
    RLELossless,
)

# Parts of the complex image, diffusion
# Siemens pads every list to this length.
_CSA_ITEMS = 6


def _with_ge_part(datasets: list[Dataset], part: int) -> list[Dataset]:
    for ds in datasets:
        ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", part)
    return datasets


def _ge_phase() -> list[Dataset]:
    uids = series_uids()
    magnitude = df.slices(ImageType=["ORIGINAL", "PRIMARY", "OTHER"], **uids, **GE)
    phase = df.slices(seed=1, ImageType=["ORIGINAL", "PRIMARY", "OTHER"], **uids, **GE)
    return [*_with_ge_part(magnitude, 0), *_with_ge_part(phase, 1)]


def _enhanced_phase() -> list[Dataset]:
    ds = df.enhanced((0.0, 0.0))
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.MRImageFrameTypeSequence[0].ComplexImageComponent = "MAGNITUDE" if number < 6 else "PHASE"
    return [ds]


def _directions(values: tuple[float, ...], set_b_value: Callable[[Dataset, float], None], **changes: Any) -> Any:
    """Three directions for each b-value, an average of each, and the diffusion coefficient, in one series."""
    uids = series_uids()
    found = []
    for seed, (b_value, direction) in enumerate([(b, d) for b in values for d in range(3 if b else 1)]):
        types = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
        found += _weighted(b_value, set_b_value, seed=seed, AcquisitionNumber=direction + 1, ImageType=types,
                           **uids, **changes)  # fmt: skip
    found += _weighted(values[-1], set_b_value, seed=90, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
                       **uids, **changes)  # fmt: skip
    found += df.slices(num=5, seed=91, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], **uids, **changes,
                       **DIFFUSION)  # fmt: skip
    return found


def _weighted(b_value: float, set_b_value: Callable[[Dataset, float], None], **changes: Any) -> list[Dataset]:
    slices = df.slices(num=5, **changes, **DIFFUSION)
    for ds in slices:
        set_b_value(ds, b_value)
    return slices


def _standard(ds: Dataset, b_value: float) -> None:
    ds.DiffusionBValue = b_value


def _siemens(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b_value))


def _siemens_name(ds: Dataset, b_value: float) -> None:
    ds.SequenceName = f"*ep_b{b_value:.0f}#1"


def _siemens_csa(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa_header(B_value=b_value))


def _ge(ds: Dataset, b_value: float) -> None:
    block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x39, "IS", [1_000_000 + int(b_value), 8, 0, 0])


def _philips(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b_value)


def _uih(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0065, "Image Private Header", create=True).add_new(0x09, "FD", b_value)


def _relocated(ds: Dataset, b_value: float) -> None:
    """As an archive writes it that moves private blocks."""
    ds.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "LO", "nothing")
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b_value))


def csa_header(**numbers: float | list[float]) -> bytes:
    """A CSA2 header, the proprietary part of Siemens headers."""
    parts = [b"SV10\4\3\2\1", np.array([len(numbers), 77], "<u4").tobytes()]
    for name, value in numbers.items():
        values = value if isinstance(value, list) else [value]
        texts = [f"{number:.8f}\0".encode() for number in values] + [b""] * (_CSA_ITEMS - len(values))
        parts += [name.encode().ljust(64, b"\0"), np.array([len(values)], "<i4").tobytes(), b"FD\0\0"]
        parts += [np.array([1, _CSA_ITEMS, 77], "<i4").tobytes()]
        parts += [np.array([len(text)] * 4, "<i4").tobytes() + text + b"\0" * (-len(text) % 4) for text in texts]
    return b"".join(parts)


def mosaics(num: int = 2, num_tiles: int = 9, num_said: int | None = None) -> list[Dataset]:
    """Volumes of nine slices of 24 by 22 pixels, each in one image."""
    types = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    images = df.slices(num=num, ImageType=types, SpacingBetweenSlices=4.0, **DIFFUSION)
    for number, ds in enumerate(images):
        ds.ImagePositionPatient, ds.AcquisitionNumber = images[0].ImagePositionPatient, number + 1
        header = csa_header(NumberOfImagesInMosaic=num_tiles, SliceNormalVector=[0.0, 0.0, 1.0])
        ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
        if num_said:
            ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", num_said)
    return images


def _mosaic_twice() -> list[Dataset]:
    images = mosaics(3)
    return [*images, images[1]]


VENDORS = {
    "standard": (_standard, {}),
    "Siemens": (_siemens, {}),
    "Siemens by the sequence's name": (_siemens_name, {}),
    "Siemens by the CSA header": (_siemens_csa, {}),
    "Siemens after an archive moved it": (_relocated, {}),
    "GE": (_ge, GE),
    "Philips": (_philips, {"Manufacturer": "Philips Medical Systems"}),
    "UIH": (_uih, {"Manufacturer": "UIH"}),
}

CONTRASTS = {
    "mosaics": used(mosaics),
    "mosaics, one of them twice": used(_mosaic_twice, 1, duplicate=1),
    "mosaic that lacks slices": set_aside("conversion_incomplete", lambda: mosaics(2, 7, 9), 2),
    "magnitude and phase": used(
        lambda: two_volumes({}, {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}), 1, not_magnitude=6
    ),
    "magnitude and phase of GE": used(_ge_phase, 1, not_magnitude=6),
    "magnitude and phase in one enhanced file": used(_enhanced_phase),
    "all phase": odd("not_magnitude", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
    "b-values of one shell that scatter": used(
        lambda: two_volumes({"DiffusionBValue": 974.0}, {"DiffusionBValue": 976.0}, **DIFFUSION)
    ),
} | {
    # b = 0, 1000, 2000, the average, and the diffusion coefficient.
    f"diffusion, {vendor}": used(functools.partial(_directions, (0.0, 1000.0, 2000.0), set_b_value, **changes), 5)
    for vendor, (set_b_value, changes) in VENDORS.items()
}


# Enhanced objects


def _enhanced(**changes: Any) -> list[Dataset]:
    return changed([df.enhanced()], **changes)


def _without_positions() -> list[Dataset]:
    ds = df.enhanced()
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    return [ds]


def _enhanced_localiser() -> list[Dataset]:
    ds = df.enhanced(stacks=3)
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        plane = (df.AXIAL, df.CORONAL, df.SAGITTAL)[number // 6]
        normal = np.cross(plane[:3], plane[3:])
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = list(plane)
        frame.PlanePositionSequence[0].ImagePositionPatient = [float(v) for v in normal * 4.0 * (number % 6) - 9.0]
    return [ds]


ENHANCED = {
    "enhanced, one stack": used(_enhanced),
    "enhanced, two b-values": used(lambda: [df.enhanced((0.0, 1000.0))], 2),
    "enhanced, two stacks": used(lambda: [df.enhanced(stacks=2)], 2),
    "enhanced, three planes": set_aside("localiser", _enhanced_localiser, 1),
    "converted from classic": used(lambda: _enhanced(SOPClassUID=LegacyConvertedEnhancedMRImageStorage)),
    "enhanced, compressed": Case(as_file(_enhanced, RLELossless), 1),
    "enhanced, compressed, two stacks": Case(as_file(lambda: [df.enhanced(stacks=2)], JPEG2000Lossless), 2),
    "enhanced, implicit": Case(as_file(_enhanced, ImplicitVRLittleEndian), 1),
    "fewer frames described than stored": set_aside("wrong_frames", lambda: [_fewer_descriptions()], 1),
    "frames that are not described": set_aside(
        "wrong_frames", lambda: _enhanced(PerFrameFunctionalGroupsSequence=None, SharedFunctionalGroupsSequence=None), 1
    ),
    "frames without positions": set_aside("missing_geometry", _without_positions, 1),
}


def _fewer_descriptions() -> Dataset:
    ds = df.enhanced()
    del ds.PerFrameFunctionalGroupsSequence[3]
    return ds
