"""Slices that are missing, doubled, askew, or of several acquisitions."""

from __future__ import annotations

from copy import deepcopy

import dicom_files as df
from failure_classes.case import (
    DIFFUSION,
    GE,
    changed,
    moved,
    series_uids,
    set_aside,
    two_volumes,
    used,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    generate_uid,
)

# Geometry and copies


def _tilted(slope: float = 0.27) -> list[Dataset]:
    """Slices whose positions run askew to their normal, as a tilted gantry moves them."""
    return [moved(ds, 0.0, slope * 4.0 * n, 0.0) for n, ds in enumerate(df.slices(num=9, GantryDetectorTilt=-15.0))]


def _copied() -> list[Dataset]:
    slices = df.slices(num=7)
    again = deepcopy(slices[3])
    again.SOPInstanceUID, again.InstanceNumber = generate_uid(), 8
    return [*slices, slices[2], again]


GEOMETRY = {
    "missing slice": set_aside("missing_slice", lambda: [ds for n, ds in enumerate(df.slices(num=9)) if n != 4], 8),
    "unequal spacing": set_aside(
        "uneven_spacing", lambda: [moved(ds, 0, 0, 1.5 * (n == 4)) for n, ds in enumerate(df.slices(num=9))], 9
    ),
    "slice beside the others": set_aside(
        "shifted_slices", lambda: [moved(ds, 5.0 * (n == 4), 0, 0) for n, ds in enumerate(df.slices(num=9))], 9
    ),
    "too few slices": set_aside("too_few_slices", lambda: df.slices(num=3), 3),
    "no orientation": set_aside("missing_geometry", lambda: changed(df.slices(), ImageOrientationPatient=None)),
    "no position": set_aside("missing_geometry", lambda: changed(df.slices(), ImagePositionPatient=None)),
    "orientation that is no rotation": set_aside(
        "missing_geometry", lambda: changed(df.slices(), ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    ),
    "no pixel size": set_aside("missing_pixel_spacing", lambda: changed(df.slices(), PixelSpacing=None)),
    "no series UID": set_aside("missing_uid", lambda: changed(df.slices(), SeriesInstanceUID=None)),
    "copies": used(_copied, 1, duplicate=2),
    "gantry tilt": used(_tilted),
    "no patient position": used(lambda: changed(df.slices(), PatientPosition=None)),
}


# Several acquisitions in one series


def _restarted(num_before: int) -> list[Dataset]:
    """A scan that was broken off after some slices, and the whole one that followed."""
    uids = series_uids()
    before = df.slices(num=num_before, AcquisitionTime="101500", **uids)
    whole = df.slices(num=9, seed=1, AcquisitionTime="102200", AcquisitionNumber=2, **uids)
    return [*before, *whole]


def _shifted_slabs() -> list[Dataset]:
    uids = series_uids()
    below, above = df.slices(num=7, **uids), df.slices(num=7, seed=1, AcquisitionNumber=2, **uids)
    return [*below, *(moved(ds, 0, 0, 10.0) for ds in above)]


def _numbered_through() -> list[Dataset]:
    """Two volumes without times or numbers of acquisitions, in which instance numbers go on."""
    both = two_volumes({}, {}, AcquisitionNumber=None)
    for number, ds in enumerate(both):
        ds.InstanceNumber = number + 1
    return both


def _acquisition_for_each_slice() -> list[Dataset]:
    slices = df.slices(**GE)
    for number, ds in enumerate(slices):
        ds.AcquisitionNumber = number + 1
    return slices


def _time_series() -> list[Dataset]:
    uids = series_uids()
    volumes = [df.slices(num=5, seed=n, AcquisitionNumber=n + 1, **uids, **DIFFUSION) for n in range(6)]
    return [ds for volume in volumes for ds in volume]


def _broken_time_series() -> list[Dataset]:
    uids = series_uids()
    volumes = [df.slices(num=5, seed=n, AcquisitionNumber=n + 1, **uids, **DIFFUSION) for n in range(12)]
    return [ds for volume in volumes for ds in volume][:-1]


def _scattered_echo_times() -> list[Dataset]:
    slices = df.slices()
    for ds, time_ms in zip(slices, (96.04, 96.04, 96.0, 96.06, 96.06, 96.08), strict=True):
        ds.EchoTime = time_ms
    return slices


def _unexplained() -> list[Dataset]:
    slices = df.slices(num=7)
    uids = {name: slices[0][name].value for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    return [*slices, df.slices(num=7, seed=9, **uids)[3]]


def _dual_echo() -> list[Dataset]:
    """Proton density and T2 in turn, with the numbers 1 to n twice."""
    return two_volumes({"EchoTime": 12.0, "EchoNumbers": 1}, {"EchoTime": 96.0, "EchoNumbers": 2})


def _five_echoes() -> list[Dataset]:
    uids = series_uids()
    echoes = [df.slices(num=5, seed=n, EchoTime=5.0 * (n + 1), ScanningSequence="GR", **uids) for n in range(5)]
    return [ds for echo in echoes for ds in echo]


ACQUISITIONS = {
    "before and after contrast agent": used(
        lambda: two_volumes({}, {"ContrastBolusAgent": "gadobutrol"}, EchoTime=10.0), 2
    ),
    "two inversion times": used(lambda: two_volumes({"InversionTime": 900.0}, {"InversionTime": 2500.0}), 2),
    "two flip angles": used(lambda: two_volumes({"FlipAngle": 5.0}, {"FlipAngle": 20.0}, ScanningSequence="GR"), 2),
    "two acquisition numbers": used(lambda: two_volumes({}, {"AcquisitionNumber": 2}), 2),
    "two acquisition times": used(lambda: two_volumes({"AcquisitionTime": "101500"}, {"AcquisitionTime": "102200"}), 2),
    "instance numbers that go on": used(_numbered_through, 2),
    "restarted scan": used(lambda: _restarted(6), 2),
    "restarted at once": used(lambda: _restarted(3), 1, too_few_slices=3),
    "overlapping slabs": used(_shifted_slabs, 2),
    "acquisition numbers that count slices": used(_acquisition_for_each_slice),
    "time series": used(_time_series),
    "time series that lacks its last slice": set_aside("repeated_slices", _broken_time_series, 59),
    "a second image without a reason": set_aside("repeated_slices", _unexplained, 8),
    "two echoes, numbered alike": used(_dual_echo, 2),
    "echo times that scatter": used(_scattered_echo_times),
    "five echoes": used(_five_echoes, 5),
    "echoes without echo times": used(lambda: changed(_dual_echo(), EchoTime=None), 2),
}
