"""Plan a conversion: which images make up a series, which series are left out, and what dcm2niix is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isqrt
from statistics import median_low

from stages.imaging import acquisitions, geometry, patients, pixels, slices, triage
from stages.imaging.conversion import Job, Source
from stages.imaging.dicom import Image
from stages.imaging.grouping import Group, Slice, group_images
from stages.imaging.ledger import SetAside
from stages.imaging.scanning import Scanned
from stages.imaging.settings import ConversionSettings


@dataclass(slots=True)
class Plan:
    """The groups of an export, why some are set aside, and which images are copies."""

    groups: list[Group] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    copies: dict[int, list[Slice]] = field(default_factory=dict)

    def add(self, group: Group, reason: str | None, copies: list[Slice]) -> None:
        """Add a group; without a reason it is converted."""
        number = len(self.groups)
        self.groups.append(group)
        self.copies[number] = copies
        if reason is not None:
            self.reasons[number] = reason


def make_plan(files: list[Scanned], settings: ConversionSettings) -> Plan:
    """Bring the images of an export together into series, and find those that are volumes of a head."""
    groups = group_images(Slice(n, image) for n, file in enumerate(files) for image in file.images)
    reasons = {
        "several_patients": patients.mixed_series(groups),
        "localiser": triage.localiser_series(groups),
        "burned_in_annotation": triage.burned_in_series(groups),
    }
    plan = Plan()
    for group in groups:
        try:
            triage.check_series(group, settings)
            for reason, uids in reasons.items():
                if (group.study_uid, group.series_uid) in uids:
                    raise SetAside(reason)
        except SetAside as outcome:
            plan.add(group, outcome.reason, [])
            continue
        for arranged in acquisitions.arrange(group, settings):
            plan.add(arranged.group, arranged.reason, arranged.copies)
    return plan


def make_jobs(files: list[Scanned], plan: Plan, series_ids: list[str]) -> dict[str, list[Job]]:
    """Bundle the series to convert by study, or by archive where that one is read slowly backwards."""
    bundles: dict[str, list[Job]] = defaultdict(list)
    for number, group in enumerate(plan.groups):
        if number in plan.reasons:
            continue
        sources = tuple(_sources(files, group.slices))
        location = sources[0].location
        bundle = location.path if location.is_rewound_slowly else group.study_uid
        affine = None if group.first.is_mosaic else geometry.expected_affine(group.slices)
        bundles[bundle].append(Job(number, series_ids[number], sources, _num_voxels(group), affine))
    return bundles


def _num_voxels(group: Group) -> int | None:
    """Voxels that the volume must have; None for mosaics that do not say how many slices they hold."""
    first = group.first
    if not first.is_mosaic:
        return first.rows * first.columns * len(group.slices)
    if not first.num_tiles:
        return None
    tiles_across = isqrt(first.num_tiles - 1) + 1
    tile_voxels = (first.rows // tiles_across) * (first.columns // tiles_across)
    return tile_voxels * first.num_tiles * len(group.slices)


def _sources(files: list[Scanned], items: list[Slice]) -> Iterator[Source]:
    frames: dict[int, list[int]] = defaultdict(list)
    images = {item.file: item.image for item in items}
    for item in items:
        frames[item.file].append(item.image.frame or 0)
    instance_numbers = _instance_numbers(items)
    echo_time_ms = _echo_time_ms(items)
    for file, numbers in frames.items():
        image = images[file]
        is_whole = len(numbers) == image.num_frames
        chosen = None if is_whole else tuple(sorted(numbers))
        number, is_rewritten = instance_numbers.get(file), _is_rewritten(image)
        yield Source(files[file].location, files[file].digest, chosen, is_rewritten, number, echo_time_ms)


def _instance_numbers(items: list[Slice]) -> dict[int, int]:
    """Number the files of repeated volumes whose numbers repeat: dcm2niix sorts by them.

    Args:
        items: slices in the order of their positions, and of time at each.

    Returns:
        New number of each file, volume after volume; nothing where the files' own numbers do.
    """
    files = [item.file for item in items]
    num_volumes = slices.num_repeats(items) if not items[0].image.is_mosaic else 1
    numbers = {item.image.moment[0] for item in items}
    if num_volumes < 2 or len(numbers) == len(items) or len(set(files)) < len(files):
        return {}
    by_volume = [file for volume in range(num_volumes) for file in files[volume::num_volumes]]
    return {file: number for number, file in enumerate(by_volume, start=1)}


def _echo_time_ms(items: list[Slice]) -> float | None:
    """Echo time to give to all files of a series, since dcm2niix parts the least difference; None if there is none."""
    times_ms = {item.image.echo_time_ms for item in items}
    return median_low(ms for ms in times_ms if ms is not None) if len(times_ms) > 1 else None


def _is_rewritten(image: Image) -> bool:
    """Whether dcm2niix would stumble over the file: compressed, without a preamble, or of another modality."""
    protocol = image.protocol
    is_compressed = pixels.is_compressed(protocol.transfer_syntax)
    return is_compressed or not protocol.has_preamble or protocol.modality != "MR"
