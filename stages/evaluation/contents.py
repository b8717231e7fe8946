"""What each study shows, from truth or, where there is none, from the statements of its report.

Studies with equal content form one class. Nothing here is shared with the similarity that trains a model.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from stages.evaluation.gains import Items, overlap_gains, table_gains

NORMAL = "normal"
# A study of which nothing is known: alike to no other, so its key holds its id.
UNKNOWN = "unknown"

# Gain of two statements of one finding: ½ + ½ (site and side agreement), halved where one of them is hedged.
_SITE_SHARE, _SIDE_SHARE = 0.6, 0.4
_HEDGED = 0.5

Statement = tuple[str, str | None, str | None, str]


@dataclass(frozen=True)
class Contents:
    """Classes of studies with equal content.

    Attributes:
        study_ids: the studies, in the order of the input.
        classes: class of each study, numbered by first appearance.
        statement_sets: number of each study's set of statements, numbered by first appearance.
        is_abnormal: whether each study has a finding.
        kinds: what the classes hold, for ``gains.best_match_gains``.
        source: truth or statements.
    """

    study_ids: list[str]
    classes: list[int]
    statement_sets: list[int]
    is_abnormal: list[bool]
    kinds: list[Items]
    source: str

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return max(self.classes, default=-1) + 1


def contents_from_truth(studies: pa.Table, lesions: pa.Table) -> Contents:
    """Contents by the lesions that a cohort knows.

    Args:
        studies: table of contract LINKED_STUDIES.
        lesions: table of contract LINKED_LESIONS.

    Raises:
        ValueError: if the template grids of the lesions differ.
    """
    num_voxels = _num_template_voxels(lesions)
    masks = _masks(lesions)
    kinds = list(zip(lesions["finding"].to_pylist(), lesions["subtype"].to_pylist(), strict=True))
    places = list(zip(lesions["site"].to_pylist(), lesions["side"].to_pylist(), strict=True))
    members: dict[str, list[int]] = {study_id: [] for study_id in studies["study_id"].to_pylist()}
    for index, study_id in enumerate(lesions["study_id"].to_pylist()):
        members.setdefault(study_id, []).append(index)
    normal = dict(zip(studies["study_id"].to_pylist(), studies["is_normal"].to_pylist(), strict=True))

    keys, sets = [], []
    for study_id, indices in members.items():
        empty = NORMAL if normal.get(study_id, False) else (UNKNOWN, study_id)
        keys.append(tuple(sorted((kinds[i], masks[i].tobytes()) for i in indices)) or empty)
        sets.append(frozenset((kinds[i][0], *places[i], "present") for i in indices) or empty)
    classes = _number(keys)
    held = _held_by_class(classes, list(members.values()))
    return Contents(
        list(members),
        classes,
        _number(sets),
        [bool(indices) or not normal.get(study_id, False) for study_id, indices in members.items()],
        _lesion_items(held, kinds, masks, num_voxels) + _normal_items(keys, classes),
        "truth",
    )


def contents_from_statements(study_ids: Sequence[str], statements: Mapping[str, set[Statement]]) -> Contents:
    """Contents by what the reports say: findings that are present or hedged; denials make no content.

    Args:
        study_ids: the studies that count.
        statements: (finding, site, side, assertion) of each study with a used report.
    """
    keys: list[Hashable] = []
    for study_id in study_ids:
        said = statements.get(study_id, set())
        shown = frozenset(item for item in said if item[0] != NORMAL and item[3] != "absent")
        keys.append(shown or (NORMAL if said else (UNKNOWN, study_id)))
    classes = _number(keys)
    shown_by_class = {
        number: sorted(key, key=repr) for key, number in zip(keys, classes, strict=True) if isinstance(key, frozenset)
    }
    return Contents(
        list(study_ids),
        classes,
        list(classes),
        [isinstance(key, frozenset) for key in keys],
        _statement_items(shown_by_class) + _normal_items(keys, classes),
        "statements",
    )


def statements_of_reports(findings: pa.Table, reports: pa.Table) -> dict[str, set[Statement]]:
    """Collect the statements of each study's used reports, in the order of the reports."""
    rows = zip(*(reports[name].to_pylist() for name in ("row", "study_id", "status")), strict=True)
    used = {row: study_id for row, study_id, status in rows if status == "used"}
    said: dict[str, set[Statement]] = {study_id: set() for study_id in used.values()}
    columns = ("row", "finding", "site", "side", "assertion")
    for row, *statement in zip(*(findings[name].to_pylist() for name in columns), strict=True):
        if row in used:
            said[used[row]].add(tuple(statement))
    return said


def _number(keys: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _num_template_voxels(lesions: pa.Table) -> int:
    shapes = {tuple(shape) for shape in lesions["template_shape"].to_pylist()}
    if len(shapes) > 1:
        raise ValueError(f"lesions: template_shape differs: {sorted(shapes)[:3]}, expected one grid for the cohort")
    return int(np.prod(next(iter(shapes), (0,))))


def _masks(lesions: pa.Table) -> list[np.ndarray]:
    """Voxels of each lesion, sorted, each once."""
    column = lesions["template_voxels"].combine_chunks()
    voxels = column.flatten().to_numpy(zero_copy_only=False)
    bounds = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False))]).astype(int)
    return [np.unique(voxels[start:end]) for start, end in zip(bounds[:-1], bounds[1:], strict=True)]


def _held_by_class(classes: Sequence[int], members: Sequence[list[int]]) -> dict[int, list[int]]:
    """Lesions of the first study of each class, by class in ascending order."""
    held: dict[int, list[int]] = {}
    for number, indices in zip(classes, members, strict=True):
        held.setdefault(number, indices)
    return held


def _lesion_items(
    held: Mapping[int, list[int]], kinds: Sequence[tuple[str, str]], masks: Sequence[np.ndarray], num_voxels: int
) -> list[Items]:
    by_kind: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, indices in held.items():
        for index in indices:
            by_kind.setdefault(kinds[index], []).append((number, index))
    items = []
    for entries in by_kind.values():
        covered = [masks[index] for _, index in entries]
        indptr = np.concatenate([[0], np.cumsum([len(voxels) for voxels in covered])])
        ones = np.ones(indptr[-1], dtype=np.float32)
        masks_KV = sparse.csr_array((ones, np.concatenate(covered), indptr), shape=(len(covered), num_voxels))
        classes_K = np.array([number for number, _ in entries])
        items.append(Items(classes_K, np.ones(len(entries), np.float32), overlap_gains(masks_KV)))
    return items


def _statement_items(shown_by_class: Mapping[int, list[Statement]]) -> list[Items]:
    by_finding: dict[str, list[tuple[int, Statement]]] = {}
    for number, shown in shown_by_class.items():
        for statement in shown:
            by_finding.setdefault(statement[0], []).append((number, statement))
    items = []
    for entries in by_finding.values():
        codes_K = np.array(_number([statement for _, statement in entries]))
        distinct = list(dict.fromkeys(statement for _, statement in entries))
        classes_K = np.array([number for number, _ in entries])
        weights_K = np.array([1.0 if s[3] == "present" else _HEDGED for _, s in entries], np.float32)
        items.append(Items(classes_K, weights_K, table_gains(codes_K, _statement_gains(distinct))))
    return items


def _statement_gains(statements: Sequence[Statement]) -> np.ndarray:
    """Gain between distinct statements of one finding, shape (statements, statements)."""
    sites, sides, assertions = (np.array([s[i] or "" for s in statements]) for i in (1, 2, 3))
    place = _SITE_SHARE * _agreement(sites) + _SIDE_SHARE * _agreement(sides)
    certainty = np.where(assertions[:, None] == assertions[None], 1.0, _HEDGED)
    return ((0.5 + 0.5 * place) * certainty).astype(np.float32)


def _agreement(codes: np.ndarray) -> np.ndarray:
    """1 where codes are equal, ½ where only one is given, 0 where they differ."""
    is_one_missing = (codes == "")[:, None] | (codes == "")[None]
    return np.where(codes[:, None] == codes[None], 1.0, np.where(is_one_missing, 0.5, 0.0))


def _normal_items(keys: Sequence[Hashable], classes: Sequence[int]) -> list[Items]:
    """All normal studies are one class, with full gain."""
    number = next((number for key, number in zip(keys, classes, strict=True) if key == NORMAL), None)
    if number is None:
        return []
    return [Items(np.array([number]), np.ones(1, np.float32), lambda rows: np.ones((1, 1), np.float32))]
