"""Order, gaps and copies of slices."""

from __future__ import annotations

import dataclasses

import dicom_files as df
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.imaging.grouping import Slice, group_images
from stages.imaging.headers import is_dicom, read_images, vendor_code
from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings
from stages.imaging.slices import check_spacing, drop_duplicates, plane, positions_mm, sort_by_position

SETTINGS = ConversionSettings(
    spacing_tolerance_mm=0.2,
    min_slices=5,
    max_archive_members=1,
    max_archive_gib=1,
    max_member_mib=1,
    series_timeout_s=1,
)


@pytest.fixture(scope="module")
def image():
    return read_images(df.encode(df.slices(num=1)[0]))[0]


def stack(image, positions, orientation=df.AXIAL):
    cosines = np.array(orientation)
    normal = np.cross(cosines[:3], cosines[3:])
    return [
        Slice(n, dataclasses.replace(image, orientation=orientation, position_mm=tuple(normal * p), sop_uid=str(n),
                                     pixel_digest=str(n), moment=(str(n), "", "", "", "")))
        for n, p in enumerate(positions)
    ]  # fmt: skip


@settings(max_examples=50)
@given(
    st.permutations(range(8)),
    st.floats(0.5, 10),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_any_order_of_files_gives_the_order_along_the_normal(image, order, gap, tilt):
    row = np.cross(tilt, [0.3, -0.5, 0.8])
    if np.linalg.norm(row) < 0.05:
        return
    row /= np.linalg.norm(row)
    column = np.cross(np.array(tilt) / np.linalg.norm(tilt), row)
    orientation = (*map(float, row), *map(float, column))
    found = sort_by_position(stack(image, [gap * n for n in order], orientation))
    assert np.all(np.diff(positions_mm(found)) > 0)
    check_spacing(found, SETTINGS)


@pytest.mark.parametrize(
    ("positions", "reason"),
    [
        ([0, 4, 8, 12], "fewer slices"),
        ([0, 4, 8, 16, 20, 24], "whole number"),
        ([0, 4, 8, 20, 24, 28, 32], "whole number"),
        ([0, 4, 8, 13, 17, 21], "spacing_tolerance_mm"),
        ([0, 4, 8, 12, 16, 16, 20], "more images than others"),
    ],
)
def test_gaps_are_named(image, positions, reason):
    with pytest.raises(SetAside, match=reason):
        check_spacing(stack(image, positions), SETTINGS)


@pytest.mark.parametrize("positions", [[0, 4.05, 7.95, 12, 16.1], [0, 0, 4, 4, 8, 8, 12, 12, 16, 16]])
def test_small_deviations_and_repeated_volumes_pass(image, positions):
    check_spacing(stack(image, positions), SETTINGS)


def test_copies_by_uid_by_moment_and_by_pixels(image):
    slices = stack(image, range(6))
    by_uid = dataclasses.replace(slices[1].image, pixel_digest="x")
    by_pixels = dataclasses.replace(slices[2].image, sop_uid="new")
    timed = dataclasses.replace(slices[3].image, moment=("4", "1", "101010", "", ""), sop_uid="other", pixel_digest="y")
    again = dataclasses.replace(timed, sop_uid="third", pixel_digest="z")
    given_slices = [s for s in slices if s.file != 3]
    given_slices += [Slice(n, i) for n, i in enumerate((by_uid, by_pixels, timed, again), start=6)]
    kept, copies = drop_duplicates(given_slices)
    assert sorted(item.file for item in copies) == [6, 7, 9]
    assert len(kept) == 6


def test_equal_empty_slices_of_several_volumes_are_no_copies(image):
    volumes = stack(image, [0, 1, 2, 3, 4] * 2)
    empty = [
        Slice(s.file, dataclasses.replace(s.image, pixel_digest="black")) if s.file in (4, 9) else s for s in volumes
    ]
    kept, copies = drop_duplicates(empty)
    assert (len(kept), copies) == (10, [])


def test_uncompressed_copies_are_preferred(image):
    protocol = dataclasses.replace(image.protocol, transfer_syntax="1.2.840.10008.1.2.4.90")
    kept, copies = drop_duplicates([Slice(0, dataclasses.replace(image, protocol=protocol)), Slice(1, image)])
    assert ([s.file for s in kept], [s.file for s in copies]) == ([1], [0])


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (df.AXIAL, "axial"),
        (df.CORONAL, "coronal"),
        (df.SAGITTAL, "sagittal"),
        ((1.0, 0.0, 0.0, 0.0, 0.707, 0.707), "oblique"),
    ],
)
def test_planes(image, orientation, name):
    assert plane(dataclasses.replace(image, orientation=orientation)) == name


def test_jitter_in_the_orientation_does_not_split_a_series(image):
    rng = np.random.default_rng(0)
    jittered = [tuple(np.array(df.AXIAL) + rng.normal(0, 1e-3, 6)) for _ in range(20)]
    groups = group_images(Slice(n, dataclasses.replace(image, orientation=o)) for n, o in enumerate(jittered))
    assert len(groups) == 1


def test_vendor_codes_are_allow_listed():
    names = [
        "SIEMENS",
        "Siemens Healthineers",
        "GE MEDICAL SYSTEMS",
        "Philips Medical Systems",
        "TOSHIBA_MEC",
        "UIH",
        "?",
    ]
    assert [vendor_code(name) for name in names] == ["SIEMENS", "SIEMENS", "GE", "PHILIPS", "CANON", "UIH", "OTHER"]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_set_aside(data):
    if is_dicom(data):
        with pytest.raises(SetAside):
            read_images(data)
