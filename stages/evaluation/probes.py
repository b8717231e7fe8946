"""Linear probes: many small logistic regressions fitted at once on shared features.

A table of results needs some ten thousand fits (classes × draws × folds × penalties × seeds) of a
few hundred rows each. One by one they cost minutes, nearly all of it overhead; together they are a
few matrix products per step.

Shapes: N rows, D features, C classes, B problems, P penalties, F folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FloatArray = np.ndarray

# Ridge penalties to choose from (scikit-learn's 1/C); the middle one where there is nothing to choose by.
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0)
NUM_FOLDS = 3
# Held-out losses count a wrong certainty at most as e^-7.
MAX_LOGIT = 7.0


@dataclass(frozen=True)
class Logistic:
    """Fitted coefficients of B logistic regressions."""

    #: shape (D, B)
    weights: FloatArray
    #: shape (B,)
    biases: FloatArray

    def logits(self, features_ND: FloatArray) -> FloatArray:
        """Log odds of a positive label, shape (N, B)."""
        return features_ND @ self.weights + self.biases


def fit_logistic(
    features_ND: FloatArray,
    labels_NB: FloatArray,
    members_NB: FloatArray,
    penalties_B: FloatArray,
    *,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
) -> Logistic:
    """Minimise Σ members·log-loss + ½·penalty·‖weights‖² for every column; the bias is free.

    Steps use the fixed curvature bound ¼XᵀX of Böhning and Lindsay (1988), diagonal in the singular
    basis of the centred features, with Nesterov momentum restarted per problem (O'Donoghue and
    Candès 2015).

    Args:
        features_ND: shared by all problems.
        labels_NB: 0 or 1; what it holds for rows that are no members is ignored.
        members_NB: 1 for the rows that a problem is fitted on, 0 elsewhere.
        penalties_B: ridge penalty per problem, > 0; scikit-learn's 1/C.
        tolerance: largest gradient entry left, in bounded-curvature units of the coefficients.
        max_steps: limit for problems whose bias has no finite optimum (one label only).
    """
    mean_D = features_ND.mean(axis=0)
    left, scale, right = np.linalg.svd(features_ND - mean_D, full_matrices=False)
    kept = scale > scale.max(initial=0.0) * 1e-9
    design = np.hstack([np.ones((len(features_ND), 1)), left[:, kept] * scale[kept]])
    ridge = np.vstack([np.zeros_like(penalties_B), np.tile(penalties_B, (int(kept.sum()), 1))])
    curvature = 0.25 * np.square(design).sum(axis=0)[:, None] + ridge
    coefficients = ahead = np.zeros((design.shape[1], len(penalties_B)))
    momentum = np.ones(len(penalties_B))
    for _ in range(max_steps):
        residuals = members_NB * (_sigmoid(design @ ahead) - labels_NB)
        step = (design.T @ residuals + ridge * ahead) / curvature
        latest = ahead - step
        moved = latest - coefficients
        momentum = np.where((step * moved).sum(axis=0) > 0, 1.0, momentum)
        grown = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = latest + (momentum - 1.0) / grown * moved
        coefficients, momentum = latest, grown
        if np.abs(step).max(initial=0.0) <= tolerance:
            break
    weights_DB = right[kept].T @ coefficients[1:]
    return Logistic(weights_DB, coefficients[0] - mean_D @ weights_DB)


def draw_members(
    labels_NC: FloatArray, groups_N: np.ndarray, *, fraction: float, seed: int, draw: int
) -> tuple[FloatArray, np.ndarray]:
    """Draw the labelled rows of each class, by patient, nested in the fraction.

    The patients of a class come in a random order of the draw, with one positive and one negative
    patient moved to the front; a fraction takes a prefix of it, so a smaller one is part of a larger.

    Args:
        labels_NC: 1, 0, or NaN where the label is not known. Shape (N, C).
        groups_N: number of the patient of each row, in order of first appearance.
        fraction: share of the patients with a known label, in (0, 1].
        seed: of all draws; the same draw is thus shared by all methods.
        draw: number of the draw.

    Returns:
        1 for the drawn rows of each class (N, C), and the cross-validation fold of each (N, C), -1
        outside the draw.
    """

    def draw_class(labels_N: FloatArray, order: np.ndarray) -> Iterator[np.ndarray]:
        ranked = _rank_groups(labels_N, groups_N, order)
        yield ranked[: max(2, round(fraction * len(ranked)))]

    return _draw(labels_NC, groups_N, draw_class, seed=seed, draw=draw)


def draw_shots(
    labels_NC: FloatArray, groups_N: np.ndarray, *, shots: int, seed: int, draw: int
) -> tuple[FloatArray, np.ndarray]:
    """Draw the labelled rows of each class by count: as many patients with the finding as without it.

    Patients come in the order that :func:`draw_members` gives the same draw, so that fewer shots are
    part of more. A patient with a positive row is a positive one, and brings all rows of known label.

    Args:
        labels_NC: 1, 0, or NaN where the label is not known. Shape (N, C).
        groups_N: number of the patient of each row, in order of first appearance.
        shots: patients of each label; all there are of a label that fewer have.
        seed: of all draws; the same draw is thus shared by all methods.
        draw: number of the draw.

    Returns:
        As :func:`draw_members`; folds hold both labels as far as they go.
    """

    def draw_class(labels_N: FloatArray, order: np.ndarray) -> Iterator[np.ndarray]:
        known = order[np.isin(order, groups_N[~np.isnan(labels_N)])]
        is_positive = np.isin(known, groups_N[labels_N == 1])
        yield known[is_positive][:shots]
        yield known[~is_positive][:shots]

    return _draw(labels_NC, groups_N, draw_class, seed=seed, draw=draw)


@dataclass(frozen=True)
class Budget:
    """How many labels a classifier may learn from: a share of the patients, or a count of each label.

    Attributes:
        label_fraction: share of the patients with a known label, for each class.
        shots: patients of each label, for each class.
    """

    label_fraction: float | None = None
    shots: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every label is used, so that all draws are the same."""
        return self.label_fraction is not None and self.label_fraction >= 1

    def draw(
        self, labels_NC: FloatArray, groups_N: np.ndarray, *, seed: int, draw: int
    ) -> tuple[FloatArray, np.ndarray]:
        """Draw members and folds, by :func:`draw_members` or :func:`draw_shots`."""
        if self.shots is not None:
            return draw_shots(labels_NC, groups_N, shots=self.shots, seed=seed, draw=draw)
        fraction = 1.0 if self.label_fraction is None else self.label_fraction
        return draw_members(labels_NC, groups_N, fraction=fraction, seed=seed, draw=draw)


def list_budgets(label_fractions: Sequence[float], shots: Sequence[int]) -> list[Budget]:
    """List counts and shares of labels, from few to many."""
    return [*(Budget(shots=number) for number in shots), *(Budget(label_fraction=share) for share in label_fractions)]


def probe(
    features_ND: FloatArray, labels_NC: FloatArray, members_NC: FloatArray, folds_NC: np.ndarray
) -> tuple[Logistic, FloatArray]:
    """Fit one probe per class, with one penalty chosen by cross-validation inside the draw.

    Args:
        features_ND: of the training rows, standardised.
        labels_NC: 1, 0, or NaN where not known.
        members_NC: the drawn rows of each class.
        folds_NC: their folds, from :func:`draw_members`.

    Returns:
        The probes, and whether each class had both labels to learn from (C,).
    """
    used = members_NC.any(axis=1)
    features, labels, folds = features_ND[used], np.nan_to_num(labels_NC[used]), folds_NC[used]
    members = members_NC[used]
    penalty = _choose_penalty(features, labels, folds)
    fitted = fit_logistic(features, labels, members, np.full(labels.shape[1], penalty))
    return fitted, has_both(labels, members)


def has_both(labels_NC: FloatArray, members_NC: FloatArray) -> np.ndarray:
    """Whether the members of each class have both labels, so that there is something to learn. Shape (C,)."""
    positives = (members_NC * labels_NC).sum(axis=0)
    return (positives > 0) & (positives < members_NC.sum(axis=0))


def _choose_penalty(features_ND: FloatArray, labels_NC: FloatArray, folds_NC: np.ndarray) -> float:
    fold_F11 = np.arange(NUM_FOLDS)[:, None, None]
    fit_FNC = ((folds_NC >= 0) & (folds_NC != fold_F11)).astype(float)
    held_FNC = folds_NC == fold_F11
    has_both_FC = np.stack([has_both(labels_NC, fit_NC) for fit_NC in fit_FNC])
    held_FNC &= has_both_FC[:, None, :]
    if not held_FNC.any():
        return PENALTIES[len(PENALTIES) // 2]
    members_NB = np.tile(np.concatenate(list(fit_FNC), axis=1), len(PENALTIES))
    held_NB = np.tile(np.concatenate(list(held_FNC), axis=1), len(PENALTIES))
    labels_NB = np.tile(labels_NC, NUM_FOLDS * len(PENALTIES))
    penalties_B = np.repeat(PENALTIES, NUM_FOLDS * labels_NC.shape[1])
    fitted = fit_logistic(features_ND, labels_NB, members_NB, penalties_B, tolerance=1e-2, max_steps=100)
    logits_NB = np.clip(fitted.logits(features_ND), -MAX_LOGIT, MAX_LOGIT)
    losses_NB = np.logaddexp(0.0, np.where(labels_NB > 0, -logits_NB, logits_NB)) * held_NB
    losses_P = losses_NB.sum(axis=0).reshape(len(PENALTIES), -1).sum(axis=1)
    return PENALTIES[int(np.argmin(np.round(losses_P, 6)))]


def _draw(
    labels_NC: FloatArray,
    groups_N: np.ndarray,
    draw_class: Callable[[FloatArray, np.ndarray], Iterator[np.ndarray]],
    *,
    seed: int,
    draw: int,
) -> tuple[FloatArray, np.ndarray]:
    """Draw patients of each class in the order of the draw; each list of them is spread over the folds."""
    num_groups = int(groups_N.max(initial=-1)) + 1
    order = np.random.default_rng([seed, draw]).permutation(num_groups)
    folds = np.full(labels_NC.shape, -1)
    for c, labels_N in enumerate(labels_NC.T):
        fold_of_group = np.full(num_groups, -1)
        for drawn in draw_class(labels_N, order):
            fold_of_group[drawn] = np.arange(len(drawn)) % NUM_FOLDS
        folds[:, c] = np.where(np.isnan(labels_N), -1, fold_of_group[groups_N])
    return (folds >= 0).astype(float), folds


def _rank_groups(labels_N: FloatArray, groups_N: np.ndarray, order: np.ndarray) -> np.ndarray:
    known = order[np.isin(order, groups_N[~np.isnan(labels_N)])]
    is_first = np.zeros(len(known), dtype=bool)
    for value in (1.0, 0.0):
        candidates = np.flatnonzero(np.isin(known, groups_N[labels_N == value]) & ~is_first)
        is_first[candidates[:1]] = True
    return np.concatenate([known[is_first], known[~is_first]])


def _sigmoid(logits: FloatArray) -> FloatArray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
