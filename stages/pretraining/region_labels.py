"""What reports say of each finding in each region of the atlas.

Shape suffixes: N images, F findings, R regions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
WHOLE = "whole_brain"
# What lies at the midline of a divided site lies on both sides of it.
_BOTH_SIDES = frozenset({"bilateral", "midline"})


class Region(Protocol):
    """A site on one side, or a site that has none."""

    @property
    def site(self) -> str:
        """Site code of the lexicon."""
        ...

    @property
    def side(self) -> str | None:
        """``left`` or ``right``, None for a region at the midline."""
        ...


def region_labels(
    statements: Iterable[Mapping[str, Any]],
    study_ids: Sequence[str],
    findings: Sequence[str],
    regions: Sequence[Region],
) -> np.ndarray:
    """Tell of each image which findings its report states in which regions.

    A finding that is present somewhere is present in the regions of its site and side, and in the whole
    brain. One that is denied without a site is absent from every region. What is uncertain, or said of a
    paired site without its side, is unknown; so is whatever no statement mentions: a report that places an
    infarct does not deny others, and one that calls the brain normal denies nothing by name, as in
    ``evaluation.mining``. Presence outweighs denial.

    Args:
        statements: rows of ``findings.parquet``.
        study_ids: study of each image.
        findings: finding codes.
        regions: regions of the atlas.

    Returns:
        ``PRESENT``, ``ABSENT`` or ``UNKNOWN``, int8. Shape (N, F, R).
    """
    of_study: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for statement in statements:
        of_study[statement["study_id"]].append(statement)
    labels_NFR = np.full((len(study_ids), len(findings), len(regions)), UNKNOWN, dtype=np.int8)
    number = {finding: index for index, finding in enumerate(findings)}
    for labels_FR, study_id in zip(labels_NFR, study_ids, strict=True):
        # Denials first, then doubt, then presence: each outweighs those before.
        for assertion in ("absent", "uncertain", "present"):
            for statement in of_study[study_id]:
                if statement["assertion"] == assertion:
                    _apply(labels_FR, statement, number, regions)
    return labels_NFR


def mirrored_order(regions: Sequence[Region]) -> np.ndarray:
    """For each region the number of the one opposite, itself at the midline. Shape (R,)."""
    numbers = {(region.site, region.side): index for index, region in enumerate(regions)}
    opposite = {"left": "right", "right": "left"}
    return np.array([numbers[region.site, opposite.get(region.side or "", region.side)] for region in regions])


def _apply(
    labels_FR: np.ndarray, statement: Mapping[str, Any], number: Mapping[str, int], regions: Sequence[Region]
) -> None:
    row = number.get(statement["finding"])
    if row is None:
        return
    assertion, site, side = statement["assertion"], statement["site"], statement["side"]
    if assertion == "present":
        labels_FR[row, _surely_meant(regions, site, side)] = PRESENT
        # A denial in general ("no infarct") with a finding beside it cannot be meant of the doubtful places.
        is_doubtful_R = _perhaps_meant(regions, site, side) & (labels_FR[row] != PRESENT)
        labels_FR[row, is_doubtful_R] = UNKNOWN
    elif assertion == "absent":
        labels_FR[row, _perhaps_meant(regions, site, side)] = ABSENT
    else:
        labels_FR[row, _perhaps_meant(regions, site, side) | _is_whole(regions)] = UNKNOWN


def _is_whole(regions: Sequence[Region]) -> np.ndarray:
    return np.array([region.site == WHOLE for region in regions])


def _surely_meant(regions: Sequence[Region], site: str | None, side: str | None) -> np.ndarray:
    """Regions where a finding certainly lies, the whole brain among them. Shape (R,)."""
    return np.array(
        [
            region.site == WHOLE
            or (region.site == site and (region.side is None or side in _BOTH_SIDES or side == region.side))
            for region in regions
        ]
    )


def _perhaps_meant(regions: Sequence[Region], site: str | None, side: str | None) -> np.ndarray:
    """Regions that a statement may be about: all of them where it names no site. Shape (R,)."""
    if site in (None, WHOLE):
        return np.ones(len(regions), dtype=bool)
    return np.array(
        [
            region.site == site and (region.side is None or side is None or side in _BOTH_SIDES or side == region.side)
            for region in regions
        ]
    )
