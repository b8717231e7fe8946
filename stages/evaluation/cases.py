"""Per-case tables: one value or score of one query or study, which the statistics resample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.artifacts.tables import Contract

# Names of the rows that are no pretraining objective.
CHANCE, METADATA, ORACLE, BLIND, PRIOR = "chance", "metadata", "oracle", "blind", "prior"
MOST_FREQUENT = "most_frequent"


@dataclass(frozen=True)
class Codes:
    """A column given as distinct values and, for each row, the number of its value."""

    values: Sequence[Any]
    rows: np.ndarray


def table(contract: Contract, num_rows: int, columns: Mapping[str, Any]) -> pa.Table:
    """Build a case table from columns.

    Args:
        contract: schema of the table.
        num_rows: its length.
        columns: per column a scalar that holds for all rows, a :class:`Codes`, or an array.
    """
    return pa.table(
        [_column(columns[name.name], name.type, num_rows) for name in contract.schema], schema=contract.schema
    )


def _column(value: Any, kind: pa.DataType, num_rows: int) -> pa.Array:
    if isinstance(value, Codes):
        return pa.array(list(value.values), type=kind).take(pa.array(value.rows))
    if isinstance(value, np.ndarray):
        return pa.array(value, type=kind)
    return pa.repeat(pa.scalar(value, type=kind), num_rows)
