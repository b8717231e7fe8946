"""Acquisitions that share a series are told apart by what they say, never by the order of files."""

from __future__ import annotations

import random

import dicom_files as df
import pytest
from failure_classes.geometry import ACQUISITIONS

from stages import params
from stages.imaging import acquisitions
from stages.imaging.grouping import Slice, group_images
from stages.imaging.headers import read_images
from stages.imaging.settings import ConversionSettings

SETTINGS = params.load("convert_dicom", ConversionSettings, params.DEFAULT_PATH)


def parts_of(images):
    """Name of each volume with what becomes of it, and the images of it."""
    groups = group_images(Slice(n, image) for n, image in enumerate(images))
    arranged = [part for group in groups for part in acquisitions.arrange(group, SETTINGS)]
    return {
        (part.group.parts, part.reason): (
            sorted(item.image.sop_uid for item in part.group.slices),
            sorted(item.image.sop_uid for item in part.copies),
        )
        for part in arranged
    }


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_the_order_of_files_does_not_matter_and_none_is_lost(tmp_path, name):
    ACQUISITIONS[name].write(tmp_path / "dicom")
    images = [image for path in sorted((tmp_path / "dicom").iterdir()) for image in read_images(path.read_bytes())]
    parts = parts_of(images)
    for seed in range(5):
        shuffled = random.Random(seed).sample(images, len(images))
        assert parts_of(shuffled) == parts
    found = [uid for kept, copies in parts.values() for uid in kept + copies]
    assert sorted(found) == sorted(image.sop_uid for image in images)


def test_a_series_that_is_not_split_keeps_its_name():
    (image, *_) = [read_images(df.encode(ds))[0] for ds in df.slices()]
    (group,) = group_images([Slice(0, image)])
    (part,) = acquisitions.arrange(group, SETTINGS)
    assert part.group.parts == group.parts
    assert len(part.group.parts) == 6
