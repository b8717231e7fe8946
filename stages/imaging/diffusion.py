"""Diffusion weighting of an image, from the standard element or from wherever its vendor writes it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from stages.imaging.clusters import name_clusters
from stages.imaging.elements import Elements, PrivateTag, as_number, private_number

with warnings.catch_warnings():
    # The package calls itself experimental whenever it is imported.
    warnings.simplefilter("ignore")
    from nibabel.nicom import csareader

_B_VALUES = {
    "SIEMENS": PrivateTag(0x0019, "SIEMENS MR HEADER", 0x0C),
    "GE": PrivateTag(0x0043, "GEMS_PARM_01", 0x39),
    "PHILIPS": PrivateTag(0x2001, "PHILIPS IMAGING DD 001", 0x03),
    "UIH": PrivateTag(0x0065, "IMAGE PRIVATE HEADER", 0x09),
}
# GE adds this to the b-value of some protocols.
_GE_OFFSET = 1_000_000
_CSA_HEADER = PrivateTag(0x0029, "SIEMENS CSA HEADER", 0x10)
_NUM_TILES = PrivateTag(0x0019, "SIEMENS MR HEADER", 0x0A)
# Siemens names a diffusion image by its weighting: *ep_b1000#3, *ep_b1000t, re_b0.
_SEQUENCE_NAME = re.compile(r"(?:ep|re|ez)_b(\d{1,5})(?![\d_])")

# b-values of one shell scatter by a few s/mm² from direction to direction.
_MAX_STEP_S_MM2 = 25.0
_MAX_SPREAD_S_MM2 = 50.0
_NAMED_STEP_S_MM2 = 50.0


def b_value_s_mm2(view: Elements, vendor: str) -> float | None:
    """Read the diffusion weighting of an image; None if it says nothing of one."""
    value = view.number("DiffusionBValue")
    if value is None and vendor in _B_VALUES:
        value = private_number(view.private(_B_VALUES[vendor]))
    if vendor == "SIEMENS" and value is None:
        value = _siemens_b_value(view)
    return value % _GE_OFFSET if value is not None and vendor == "GE" else value


def num_tiles(view: Elements) -> int:
    """Number of slices in a Siemens mosaic; 0 if the header does not tell."""
    number = private_number(view.private(_NUM_TILES))
    if number is None:
        number = _csa_number(view, "NumberOfImagesInMosaic")
    return int(number) if number is not None and number >= 1 else 0


def name_shells(values: Iterable[float]) -> dict[float, str]:
    """Name the shell of each b-value of a series.

    A new shell begins where the next larger value is more than 25 s/mm² away, or more than 50 from the
    first one, so that no fixed boundary falls between two directions of one shell.
    """
    return name_clusters(
        values,
        max_step=_MAX_STEP_S_MM2,
        max_spread=_MAX_SPREAD_S_MM2,
        name_of=lambda middle: str(round(middle / _NAMED_STEP_S_MM2)),
    )


def _siemens_b_value(view: Elements) -> float | None:
    """Read the weighting where the private element was removed: in the sequence's name or the CSA header."""
    found = _SEQUENCE_NAME.search(view.text("SequenceName"))
    if found:
        return float(found[1])
    is_diffusion = "DIFFUSION" in view.texts("ImageType")
    return _csa_number(view, "B_value") if is_diffusion else None


def _csa_number(view: Elements, name: str) -> float | None:
    header = view.private(_CSA_HEADER)
    if not isinstance(header, bytes):
        return None
    try:
        return as_number(csareader.get_scalar(csareader.read(header), name))
    except Exception:  # noqa: BLE001 - a damaged CSA header may raise anything; it is as good as none
        return None
