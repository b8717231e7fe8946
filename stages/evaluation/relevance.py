"""Reads what ``judge_relevance`` wrote: how relevant studies are to one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from stages.artifacts import tables, tensors, truth_tables

CLASSES, GAINS = "classes.parquet", "gains.safetensors"


def write_gains(path: Path, gains: sparse.csr_array) -> None:
    """Write gains between classes as CSR: indptr int64, indices int32, values float16."""
    arrays = {
        "indptr": gains.indptr.astype(np.int64),
        "indices": gains.indices.astype(np.int32),
        "values": gains.data.astype(np.float16),
    }
    tensors.write(path, arrays, {"num_classes": gains.shape[0]})


class Relevance:
    """Gains, statement sets and normality by study id.

    Attributes:
        source: what the gains were judged by: truth or statements.
    """

    def __init__(
        self, places: dict[str, int], gains: sparse.csr_array, columns: dict[str, np.ndarray], source: str
    ) -> None:
        self._places = places
        self._gains = gains
        self._columns = columns
        self.source = source

    @classmethod
    def load(cls, folder: Path) -> Relevance:
        """Read classes and gains from the folder of ``judge_relevance``."""
        table = tables.read(folder / CLASSES, truth_tables.RELEVANCE_CLASSES)
        arrays = tensors.read(folder / GAINS)
        size = len(arrays["indptr"]) - 1
        parts = (arrays["values"].astype(np.float32), arrays["indices"], arrays["indptr"])
        places = {study_id: row for row, study_id in enumerate(table["study_id"].to_pylist())}
        names = ("relevance_class", "statement_set", "is_abnormal")
        columns = {name: table[name].to_numpy() for name in names}
        source = table["source"][0].as_py() if len(table) else "statements"
        return cls(places, sparse.csr_array(parts, shape=(size, size)), columns, source)

    def knows(self, study_ids: Sequence[str]) -> np.ndarray:
        """Tell which studies have been judged, shape (studies,)."""
        return np.array([study_id in self._places for study_id in study_ids], dtype=bool)

    def gain(self, query_study_ids: Sequence[str], gallery_study_ids: Sequence[str]) -> np.ndarray:
        """Gain of each gallery study for each query study.

        Returns:
            Gains in [0, 1], float32, shape (queries, gallery).

        Raises:
            ValueError: if a study has not been judged.
        """
        queries, from_query = np.unique(self._take("relevance_class", query_study_ids), return_inverse=True)
        gallery, from_gallery = np.unique(self._take("relevance_class", gallery_study_ids), return_inverse=True)
        distinct = self._gains[queries][:, gallery].toarray()
        return distinct[np.ix_(from_query, from_gallery)]

    def statement_set(self, study_ids: Sequence[str]) -> np.ndarray:
        """Number of the statement set of each study; equal sets count as a hit."""
        return self._take("statement_set", study_ids)

    def is_abnormal(self, study_ids: Sequence[str]) -> np.ndarray:
        """Whether each study has at least one finding."""
        return self._take("is_abnormal", study_ids)

    def _take(self, column: str, study_ids: Sequence[str]) -> np.ndarray:
        rows = [self._places.get(study_id, -1) for study_id in study_ids]
        if -1 in rows:
            raise ValueError(
                f"{rows.count(-1)} of {len(rows)} studies have no relevance class; "
                "leave out those that `knows` does not tell, or run judge_relevance again"
            )
        return self._columns[column][np.array(rows, dtype=int)]
