"""Which series a head-MRI report could describe, and why the others are set aside."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

from stages.imaging.dicom import Image
from stages.imaging.grouping import Group
from stages.imaging.ledger import SetAside
from stages.imaging.sequences import sequence_by_header

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NOT_MAGNITUDE = frozenset({"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"})
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
_TEST_OBJECT = r"phantoms?|fantom|fantoom|phantome|fruit|qc|qa|quality ?(?:control|assurance)|test ?object"
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


def check_series(group: Group) -> None:
    """Check that a series is an ordinary MR image of a head.

    Raises:
        SetAside: with the first reason that applies.
    """
    image = group.first
    types = frozenset(image.image_type)
    if image.protocol.sop_class.startswith(_SECONDARY_CAPTURE) or types & _SCREEN_TYPES:
        raise SetAside("screen_capture" if image.protocol.modality in ("MR", "OT", "SC", "") else "not_mr")
    checks = (
        ("not_mr", image.protocol.modality != "MR"),
        ("test_object", _is_test_object(image)),
        ("not_head", not _is_head(image)),
        ("localiser", "LOCALIZER" in types or _has(_LOCALISER, image.protocol.series_description)),
        ("derived", _is_derived(image, types)),
        ("not_magnitude", bool(types & _NOT_MAGNITUDE) and not types & _MAGNITUDE),
        ("missing_geometry", any(s.image.orientation is None or s.image.position_mm is None for s in group.slices)),
    )
    for reason, is_true in checks:
        if is_true:
            raise SetAside(reason)


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


def _is_test_object(image: Image) -> bool:
    identity, protocol = image.identity, image.protocol
    texts = (
        *identity.patient_names,
        identity.patient_id,
        identity.study_description,
        protocol.series_description,
        protocol.protocol_name,
        protocol.body_part,
    )
    return any(_has(_TEST_OBJECT, text) for text in texts)


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
