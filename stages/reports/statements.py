"""Statements of texts as integer codes, and how alike two statements are.

Shape legend: M and L statements of either side, F fields, Q sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from stages.params import Params

# Finding code that every lexicon has for "nothing abnormal".
NORMAL = "normal"
SIGNALS = ("high", "low", "iso", "mixed")
ASSERTIONS = ("present", "uncertain", "absent")
OPPOSITE_SIDES = {"left": "right", "right": "left"}

# Columns of the codes; the signal in each sequence follows. -1 is "not said".
FINDING, SITE, PARENT, SIDE, ASSERTION, FIRST_SIGNAL = range(6)
NOT_SAID = -1


class StatementWeights(Params):
    """How much each part of a statement counts once its finding agrees (w_k)."""

    finding: float = Field(default=0.4, gt=0)
    site: float = Field(default=0.3, ge=0)
    side: float = Field(default=0.2, ge=0)
    signal: float = Field(default=0.1, ge=0)


class AssertionWeights(Params):
    """How much a statement counts in its text (π); boilerplate negatives must not dominate."""

    present: float = Field(default=1.0, gt=0)
    uncertain: float = Field(default=0.5, gt=0)
    absent: float = Field(default=0.1, gt=0)


class Statement(NamedTuple):
    """What one statement says, in lexicon codes; ``signals`` are sorted (sequence, signal) pairs."""

    finding: str
    site: str | None = None
    side: str | None = None
    assertion: str = "present"
    signals: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Statement:
        """Read a row of ``findings.parquet``."""
        signals = {(entry["sequence"], entry["signal"]) for entry in row["signals"] if entry["signal"] in SIGNALS}
        return cls(row["finding"], row["site"], row["side"], row["assertion"], tuple(sorted(signals)))

    def flip(self) -> Statement:
        """Exchange left and right."""
        return self._replace(side=OPPOSITE_SIDES.get(self.side or "", self.side))

    def within(self, sequence: str | None) -> Statement:
        """Leave out the signals in other sequences than the one that a text is about, if it is about one."""
        kept = tuple(entry for entry in self.signals if sequence in (None, entry[0]))
        return self._replace(signals=kept)

    @property
    def is_abnormal(self) -> bool:
        """Whether it asserts a finding, certain or not."""
        return self.finding != NORMAL and self.assertion != "absent"


def with_normal(statements: Sequence[Statement]) -> list[Statement]:
    """Add what a text of negations says without the word: that all is normal.

    Without it "no haemorrhage" would score ½ against any report with a haemorrhage-free tumour, its
    only statement being matched.
    """
    has_normal = any(s.finding == NORMAL and s.assertion != "absent" for s in statements)
    return [*statements] if has_normal or not is_normal(statements) else [*statements, Statement(NORMAL)]


def is_normal(statements: Sequence[Statement]) -> bool:
    """Tell whether a text says something, and nothing abnormal."""
    return bool(statements) and not any(statement.is_abnormal for statement in statements)


def encode_statements(statements: Sequence[Statement], parents: Mapping[str, str | None]) -> np.ndarray:
    """Number the codes of statements.

    Args:
        statements: M statements.
        parents: region that holds each site, by site code.

    Returns:
        Codes, int16, shape (M, 5 + Q): see the column constants of this module.
    """
    sequences = sorted({sequence for statement in statements for sequence, _ in statement.signals})
    signals = [dict(statement.signals) for statement in statements]
    columns = [
        _number([s.finding for s in statements]),
        _number([s.site for s in statements]),
        _number([_region(s.site, parents) for s in statements]),
        _number([s.side for s in statements]),
        _number([s.assertion for s in statements], ASSERTIONS),
        *(_number([by_sequence.get(sequence) for by_sequence in signals], SIGNALS) for sequence in sequences),
    ]
    return np.stack(columns, axis=1)


def statement_weights(codes_MF: np.ndarray, pi: AssertionWeights) -> np.ndarray:
    """π of each statement, shape (M,)."""
    return np.array([getattr(pi, assertion) for assertion in ASSERTIONS])[codes_MF[:, ASSERTION]]


def score_statements(codes_MF: np.ndarray, others_LF: np.ndarray, weights: StatementWeights) -> np.ndarray:
    """Compare every statement with every other.

    m(a, b) = [same finding] · g · Σ_k w_k c_k / Σ_k w_k over finding, site, side and signal. g is 1 for
    equal assertions, ½ for present against uncertain, else 0. c is 1 if equal, ½ if only one is said or
    the sites share a region; what neither says is left out.

    Args:
        codes_MF: rows of encoded statements.
        others_LF: rows of the same table.
        weights: w_k.

    Returns:
        Scores in [0, 1], float32, shape (M, L).
    """
    score_ML = np.zeros((len(codes_MF), len(others_LF)), dtype=np.float32)
    for finding in np.intersect1d(codes_MF[:, FINDING], others_LF[:, FINDING]):
        rows = np.flatnonzero(codes_MF[:, FINDING] == finding)
        columns = np.flatnonzero(others_LF[:, FINDING] == finding)
        score_ML[np.ix_(rows, columns)] = _score_same_finding(codes_MF[rows], others_LF[columns], weights)
    return score_ML


def _score_same_finding(codes_MF: np.ndarray, others_LF: np.ndarray, weights: StatementWeights) -> np.ndarray:
    site, parent, side = (_agreement(codes_MF[:, k], others_LF[:, k]) for k in (SITE, PARENT, SIDE))
    is_related = (parent == 1) & (site == 0)
    parts = [
        (weights.site, np.where(is_related, np.float32(0.5), site)),
        (weights.side, side),
        (weights.signal, _signal_agreement(codes_MF[:, FIRST_SIGNAL:], others_LF[:, FIRST_SIGNAL:])),
    ]
    score_ML = np.full(site.shape, weights.finding, dtype=np.float32)
    total_ML = score_ML.copy()
    for weight, agreement in parts:
        is_said = ~np.isnan(agreement)
        score_ML += np.where(is_said, weight * agreement, 0)
        total_ML += weight * is_said
    distance = np.abs(np.subtract.outer(codes_MF[:, ASSERTION], others_LF[:, ASSERTION]))
    is_hedged = np.maximum.outer(codes_MF[:, ASSERTION], others_LF[:, ASSERTION]) == ASSERTIONS.index("uncertain")
    gate = np.where(distance == 0, 1, np.where((distance == 1) & is_hedged, 0.5, 0)).astype(np.float32)
    return gate * score_ML / total_ML


def _agreement(codes_M: np.ndarray, others_L: np.ndarray) -> np.ndarray:
    """1 equal, ½ if only one is said, 0 different, NaN if neither is said."""
    said_M, said_L = codes_M != NOT_SAID, others_L != NOT_SAID
    agreement = np.equal.outer(codes_M, others_L).astype(np.float32)
    agreement[np.logical_xor.outer(said_M, said_L)] = 0.5
    agreement[~np.logical_or.outer(said_M, said_L)] = np.nan
    return agreement


def _signal_agreement(codes_MQ: np.ndarray, others_LQ: np.ndarray) -> np.ndarray:
    """Agreement averaged over the sequences in which either statement names a signal."""
    shape = (len(codes_MQ), len(others_LQ))
    total, count = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for q in range(codes_MQ.shape[1]):
        agreement = _agreement(codes_MQ[:, q], others_LQ[:, q])
        is_said = ~np.isnan(agreement)
        total += np.where(is_said, agreement, 0)
        count += is_said
    return np.divide(total, count, out=np.full(shape, np.nan, dtype=np.float32), where=count > 0)


def _number(values: Sequence[str | None], names: Sequence[str] = ()) -> np.ndarray:
    known = names or sorted({value for value in values if value is not None})
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([NOT_SAID if value is None else numbers[value] for value in values], dtype=np.int16)


def _region(site: str | None, parents: Mapping[str, str | None]) -> str | None:
    """Region of a site; a site that is a region itself is related to what it holds."""
    if site is None:
        return None
    return parents.get(site) or (site if site in parents.values() else None)
