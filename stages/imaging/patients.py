"""Tell patients apart where an export mixes them up: numbers that several share, UIDs that are not unique.

A volume must show one head, and a report must meet the head that it is about. Where the header leaves that open, a
series is set aside, or loses the number by which a report would find it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stages.imaging.dicom import Identity, Image
from stages.imaging.grouping import Group
from stages.imaging.scanning import Scanned


def forget_shared_numbers(files: list[Scanned]) -> tuple[list[Scanned], int]:
    """Take the accession number from images where several patients have the same one.

    Placeholders, and the numbers of two sites that overlap, belong to no study: theirs is known by its
    StudyInstanceUID then, and no report is linked to it.

    Returns:
        The files in their order, and how many accession numbers were taken.
    """
    of_number: dict[str, set[Identity]] = defaultdict(set)
    for identity in _identities(image for file in files for image in file.images):
        of_number[identity.accession_number.strip()].add(identity)
    shared = {number for number, identities in of_number.items() if number and _num_patients(identities) > 1}
    nameless = {identity: replace(identity, accession_number="") for number in shared for identity in of_number[number]}
    found = [_renamed(file, nameless) if nameless else file for file in files]
    return found, len(shared)


def mixed_series(groups: list[Group]) -> set[tuple[str, str]]:
    """Find the series whose UIDs, or whose study's, stand for several patients or accession numbers.

    Returns:
        Study and series UID of each.
    """
    series: dict[tuple[str, str], list[Image]] = defaultdict(list)
    of_study: dict[str, set[Identity]] = defaultdict(set)
    for group in groups:
        series[group.study_uid, group.series_uid] += [item.image for item in group.slices]
    for identity in _identities(image for images in series.values() for image in images):
        of_study[identity.accession_number or identity.study_uid].add(identity)
    mixed = {study for study, identities in of_study.items() if _num_patients(identities) > 1}
    return {uids for uids, images in series.items() if _is_mixed(images, mixed)}


def _is_mixed(images: list[Image], mixed_studies: set[str]) -> bool:
    identities = _identities(images)
    if _num_patients(identities) > 1:
        return True
    numbers = {identity.accession_number.strip() for identity in identities} - {""}
    is_of_mixed = any((identity.accession_number or identity.study_uid) in mixed_studies for identity in identities)
    return is_of_mixed or (len(numbers) > 1 and not _are_copies(images))


def _identities(images: Iterable[Image]) -> list[Identity]:
    """Return each identity about once: slices share theirs, and comparing what it holds would take long."""
    return list({id(image.identity): image.identity for image in images}.values())


def _are_copies(images: list[Image]) -> bool:
    """Whether the images of all accession numbers are among those of one: a scan exported under several orders."""
    contents: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for image in images:
        content = (image.sop_uid, image.frame, image.position_mm, image.pixel_digest)
        contents[image.identity.accession_number].add(content)
    return set.union(*contents.values()) in contents.values()


def _num_patients(identities: Iterable[Identity]) -> int:
    """Count patients by number and issuer; those without a number by study, names and date of birth.

    An issuer that some images leave out is no other one.
    """
    issuers: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for identity in identities:
        number = identity.patient_id.strip()
        nameless = (identity.study_uid, identity.patient_names, identity.birth_date)
        issuers[(number,) if number else nameless].add(identity.issuer.strip())
    return sum(max(1, len(found - {""})) for found in issuers.values())


def _renamed(file: Scanned, names: dict[Identity, Identity]) -> Scanned:
    if not any(image.identity in names for image in file.images):
        return file
    images = tuple(replace(image, identity=names.get(image.identity, image.identity)) for image in file.images)
    return replace(file, images=images)
