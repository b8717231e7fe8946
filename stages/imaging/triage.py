"""Which series a head-MRI report could describe, and why the others are set aside."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from stages.imaging import objects, pixels
from stages.imaging.dicom import Image
from stages.imaging.grouping import Group
from stages.imaging.ledger import SetAside
from stages.imaging.sequences import sequence_by_header
from stages.imaging.settings import ConversionSettings

# Words name the part for certain; letters are outvoted by a magnitude among the values.
_NOT_MAGNITUDE_WORDS = frozenset({"PHASE", "PHASE MAP", "REAL", "IMAGINARY"})
_NOT_MAGNITUDE_LETTERS = frozenset({"P", "R", "I"})
_MAGNITUDE = frozenset({"M", "MAGNITUDE", "MIXED"})
_SCREEN_TYPES = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN CAPTURE", "SCANNED DOCUMENT"})
# Computed from the images of other series, though some scanners call them ORIGINAL.
_COMPUTED_TYPES = frozenset(
    ["FA", "COLFA", "TENSOR", "EXP", "EADC", "MIP", "MNIP", "MINIP", "PROJECTION IMAGE", "MAX_IP", "MIN_IP"]
    + ["SUBTRACTION", "SUB", "CSA 3D EDITOR", "CSA MPR", "CSA RESAMPLED", "CBF", "CBV", "MTT", "TTP", "TMAX"]
)
# Derived on the scanner as part of the acquisition: the diffusion images that radiologists read.
_WANTED_DERIVED_TYPES = frozenset({"ADC", "TRACEW", "TRACE", "ISOTROPIC", "SWI", "DIFFUSION_TRACE"})
_WANTED_DERIVED_SEQUENCES = frozenset({"ADC", "DWI", "SWI"})
_LOCALISER = r"locali[sz]er|loc|scout|survey|surview|3[- ]?plane|three[- ]?plane|plan ?scan|aahead ?scout|定位像?"
# Unmistakable words may stand anywhere; the others are parts of patients' names and numbers too, not the whole.
_TEST_OBJECT = r"phantoms?|fantom|fantoom|phantome|quality ?(?:control|assurance)|test ?object"
_TEST_SCAN = rf"{_TEST_OBJECT}|fruit|qc|qa"
_HEAD = (
    r"head|brain|skull|neuro\w*|cerebr\w*|crani\w*|hirn|kopf|schaedel|cerveau|encephal\w*|hippocamp\w*|"
    r"pituitary|sella|iac|iam|orbits?|trigeminal|头\w*|颅\w*|脑\w*|垂体\w*"
)
_NOT_HEAD = (
    r"[ctl]?[- ]?spines?|cspine|tspine|lspine|cervical|thoracic|lumbar|sacr\w*|vertebra\w*|spinal|cord|neck|carotids?|"
    r"chest|thorax|lungs?|heart|cardiac|breasts?|mamma|abdom\w*|liver|kidneys?|renal|pancreas|mrcp|pelvis|prostate|"
    r"uterus|rectum|hips?|knees?|ankles?|foot|feet|legs?|thigh|shoulders?|elbows?|wrists?|hands?|arms?|extremity|"
    r"whole ?body|颈\w*|胸\w*|腰\w*|脊\w*|腹\w*|盆\w*|膝\w*|肩\w*|肝\w*|髋\w*|踝\w*|腕\w*|乳腺\w*|前列腺\w*|心脏\w*"
)
# A localiser shows a few slices in each of three planes.
_MAX_LOCALISER_SLICES = 15
_MAX_PIXEL_MM = 100.0


def check_series(group: Group, settings: ConversionSettings) -> None:
    """Check that a series is an ordinary MR image of a head.

    Raises:
        SetAside: with the first reason that applies.
    """
    image = group.first
    types = frozenset(image.image_type)
    if objects.is_secondary_capture(image) or types & _SCREEN_TYPES:
        raise SetAside("screen_capture" if image.protocol.modality in ("MR", "OT", "SC", "") else "not_mr")
    checks = (
        ("not_mr", not objects.is_mr(image)),
        ("missing_uid", _lacks_uid(group)),
        ("test_object", _is_test_object(image)),
        ("not_head", not _is_head(image)),
        ("localiser", "LOCALIZER" in types or _has(_LOCALISER, image.protocol.series_description)),
        ("derived", _is_derived(image, types)),
        ("not_magnitude", _is_not_magnitude(types)),
        *_image_checks(group, settings),
    )
    for reason, is_true in checks:
        if is_true:
            raise SetAside(reason)


def _image_checks(group: Group, settings: ConversionSettings) -> Iterator[tuple[str, bool]]:
    """Reasons that one image is enough for."""
    images = [item.image for item in group.slices]
    yield "colour_image", any(image.is_colour for image in images)
    yield "unsupported_syntax", not all(pixels.is_supported(image.protocol.transfer_syntax) for image in images)
    yield "wrong_frames", any(image.frame is None and image.num_frames > 1 for image in images)
    yield "image_too_large", any(image.num_bytes * image.num_frames > settings.max_member_bytes for image in images)
    yield "missing_geometry", any(image.orientation is None or image.position_mm is None for image in images)
    yield "missing_pixel_spacing", not all(_has_pixel_size(image) for image in images)


def _has_pixel_size(image: Image) -> bool:
    spacing_mm = image.pixel_spacing_mm
    return len(spacing_mm) == 2 and all(0 < mm <= _MAX_PIXEL_MM for mm in spacing_mm)


def _lacks_uid(group: Group) -> bool:
    return not group.series_uid or not (group.study_uid or group.first.identity.accession_number)


def _is_not_magnitude(types: frozenset[str]) -> bool:
    if types & _NOT_MAGNITUDE_WORDS:
        return True
    return bool(types & _NOT_MAGNITUDE_LETTERS) and not types & _MAGNITUDE


def localiser_series(groups: list[Group]) -> set[tuple[str, str]]:
    """Find the series that show a few slices in each of three planes.

    Returns:
        Study and series UID of each.
    """
    planes: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for group in groups:
        orientation = group.first.orientation
        if orientation is not None and not group.first.is_mosaic:
            axis = int(np.abs(np.cross(orientation[:3], orientation[3:])).argmax())
            planes[group.study_uid, group.series_uid][axis] += len(group.slices)
    return {
        uids for uids, counts in planes.items() if len(counts) == 3 and max(counts.values()) <= _MAX_LOCALISER_SLICES
    }


def burned_in_series(groups: list[Group]) -> set[tuple[str, str]]:
    """Find the series with an image whose header says that text is burned into it.

    Returns:
        Study and series UID of each.
    """
    return {
        (group.study_uid, group.series_uid)
        for group in groups
        if any(item.image.has_burned_in_text for item in group.slices)
    }


def _is_test_object(image: Image) -> bool:
    identity, protocol = image.identity, image.protocol
    patient = (*identity.patient_names, identity.patient_id)
    scan = (identity.study_description, protocol.series_description, protocol.protocol_name, protocol.body_part)
    if any(_has(_TEST_SCAN, text) for text in scan):
        return True
    return any(_has(_TEST_OBJECT, text) or re.fullmatch(_TEST_SCAN, text.strip(" ^").casefold()) for text in patient)


def _is_derived(image: Image, types: frozenset[str]) -> bool:
    if types & _COMPUTED_TYPES:
        return True
    if "DERIVED" not in types:
        return False
    is_wanted = bool(types & _WANTED_DERIVED_TYPES)
    return not is_wanted and sequence_by_header(image.protocol.series_description) not in _WANTED_DERIVED_SEQUENCES


def _is_head(image: Image) -> bool:
    """Take the word of the most specific text that names one part of the body; silence means a head."""
    protocol = image.protocol
    for text in (
        protocol.series_description,
        protocol.protocol_name,
        protocol.body_part,
        image.identity.study_description,
    ):
        names_head, names_other = _has(_HEAD, text), _has(_NOT_HEAD, text)
        if names_head != names_other:
            return names_head
    return True


def _has(pattern: str, text: str) -> bool:
    return re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", text.casefold()) is not None
