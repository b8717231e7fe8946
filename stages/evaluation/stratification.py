"""Part patients into subsets of given sizes that hold equal shares of every finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def subset_sizes(num_patients: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers of patients closest to the fractions (largest remainder).

    Every subset with a fraction above 0 gets a patient, as long as another can spare one; later subsets
    come first in this, since results without a test set are none.

    Args:
        num_patients: how many to share out.
        fractions: share of each subset, at least one above 0; their sum counts as 1.
    """
    shares = np.asarray(fractions, dtype=float)
    exact = num_patients * shares / shares.sum()
    sizes = np.floor(exact).astype(int)
    for index in np.argsort(sizes - exact, kind="stable")[: num_patients - sizes.sum()]:
        sizes[index] += 1
    for index in reversed(range(len(sizes))):
        if shares[index] > 0 and not sizes[index] and sizes.max() > 1:
            sizes[sizes.argmax()] -= 1
            sizes[index] = 1
    return sizes.tolist()


def stratify(has_finding: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Assign patients to subsets by iterative stratification (Sechidis et al., ECML 2011, algorithm 1).

    The rarest finding is shared out first, each patient going to the subset that lacks the finding most;
    unlike the paper's, a subset that is full takes no more, so that sizes are exact.

    Args:
        has_finding: whether each patient has each finding, shape (patients, findings), patients in an
            order that does not depend on ids.
        sizes: patients in each subset; their sum is the number of patients.
        seed: decides the order of the patients and ties.

    Returns:
        Subset of each patient, shape (patients,).

    Raises:
        ValueError: if the sizes do not add up.
    """
    num_patients, _ = has_finding.shape
    if sum(sizes) != num_patients:
        raise ValueError(f"subset sizes {list(sizes)} add up to {sum(sizes)}, expected {num_patients} patients")
    rng = np.random.default_rng(seed)
    order = rng.permutation(num_patients)
    room = np.array(sizes, dtype=float)
    wanted = has_finding.sum(axis=0) * room[:, None] / max(1, num_patients)
    subset = np.full(num_patients, -1)
    while (open_patients := order[subset[order] < 0]).size:
        counts = has_finding[open_patients].sum(axis=0)
        if counts.any():
            finding = int(np.argmin(np.where(counts > 0, counts, np.inf)))
            chosen, lack = open_patients[has_finding[open_patients, finding]], wanted[:, finding]
        else:
            chosen, lack = open_patients, np.zeros_like(room)
        for patient in chosen:
            place = _neediest(lack, room, rng)
            subset[patient] = place
            room[place] -= 1
            wanted[place] -= has_finding[patient]
    return subset


def _neediest(lack: np.ndarray, room: np.ndarray, rng: np.random.Generator) -> int:
    """Subset with room that lacks most; then the one with the most room; then by chance."""
    best = np.flatnonzero(room > 0)
    for need in (lack, room):
        best = best[np.isclose(need[best], need[best].max())]
    return int(rng.choice(best))
