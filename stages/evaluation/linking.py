"""Truth of a cohort, from accession numbers to the keyed study ids that the pipeline uses."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa

from stages.artifacts import tables, truth_tables
from stages.artifacts.identity import SiteKey
from stages.artifacts.tables import Contract

_ACCESSION, _STUDY, _SOURCE = "accession_number", "study_id", "source"
#: labels from truth, before those mined from reports join them
_LABELS = truth_tables.LABELS.schema
LINKED_LABELS = Contract("linked labels", _LABELS.remove(_LABELS.get_field_index(_SOURCE)))
logger = logging.getLogger(__name__)


def link(path: Path, source: Contract, target: Contract, key: SiteKey | None, unique: tuple[str, ...] = ()) -> pa.Table:
    """Read a truth table and replace its accession numbers by study ids.

    Args:
        path: Parquet file of the cohort; may be missing.
        source: contract of the file.
        target: contract of the result, the same but for the key column.
        key: site key; needed where the file exists.
        unique: columns that tell the rows of one study apart; of equal rows the first counts and the
            others are left out with a warning.

    Returns:
        The linked table, empty if the cohort has no such file.

    Raises:
        ValueError: if the file breaks its contract.
    """
    if not path.is_file() or key is None:
        return tables.from_rows(target, [])
    table = tables.read(path, source)
    numbers = table[_ACCESSION].to_pylist()
    ids = {number: key.study_id(number) for number in set(numbers)}
    study_ids = [ids[number] for number in numbers]
    table = table.drop_columns([_ACCESSION]).add_column(
        0, target.schema.field(_STUDY), pa.array(study_ids, pa.string())
    )
    first: dict[tuple[object, ...], int] = {}
    for index, row in enumerate(zip(study_ids, *(table[name].to_pylist() for name in unique), strict=True)):
        first.setdefault(row, index)
    kept = table.take(pa.array(first.values(), pa.int64()))
    if len(kept) < len(table):
        logger.warning("%s: %d rows repeat a study and were left out", source.name, len(table) - len(kept))
    return kept.select(target.schema.names).cast(target.schema)
