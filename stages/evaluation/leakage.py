"""How much of what is tested was already read in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rapidfuzz import fuzz, process

# Scores held at a time: 16 MiB.
_BLOCK_SCORES = 1 << 24


def text_overlap(texts: Mapping[str, Iterable[str]], reference: str, ratio: float) -> dict[str, dict[str, int]]:
    """Count the unique texts of each split that the reference split holds too, exactly or nearly.

    Args:
        texts: texts of each split.
        reference: the split to compare with.
        ratio: normalised indel similarity in (0, 1] from which unequal texts are near-duplicates.

    Returns:
        For each other split ``num_texts``, ``num_exact`` and ``num_near`` (exact ones not counted again).
    """
    known = dict.fromkeys(texts.get(reference, ()))
    overlap = {}
    for split, members in texts.items():
        if split == reference:
            continue
        unique = list(dict.fromkeys(members))
        new = [text for text in unique if text not in known]
        overlap[split] = {
            "num_texts": len(unique),
            "num_exact": len(unique) - len(new),
            "num_near": count_near(new, list(known), ratio),
        }
    return overlap


def count_near(queries: Sequence[str], references: Sequence[str], ratio: float) -> int:
    """Count the queries that resemble some reference; all cores, bounded memory."""
    if not queries or not references:
        return 0
    step = max(1, _BLOCK_SCORES // len(references))
    blocks = (queries[start : start + step] for start in range(0, len(queries), step))
    return sum(
        int(
            process.cdist(block, references, scorer=fuzz.ratio, score_cutoff=100 * ratio, dtype=np.uint8, workers=-1)
            .any(axis=1)
            .sum()
        )
        for block in blocks
    )


def num_shared_patients(patient_of: Mapping[str, str], split_of: Mapping[str, str]) -> int:
    """Count the patients with studies in more than one split."""
    splits: dict[str, set[str]] = {}
    for study_id, split in split_of.items():
        splits.setdefault(patient_of[study_id], set()).add(split)
    return sum(len(names) > 1 for names in splits.values())


def require_no_shared_patients(patient_of: Mapping[str, str], split_of: Mapping[str, str]) -> None:
    """Check that every patient lies in one split.

    Raises:
        ValueError: if one does not.
    """
    num_shared = num_shared_patients(patient_of, split_of)
    if num_shared:
        raise ValueError(f"{num_shared} patients lie in more than one split, expected 0; split by patient")
