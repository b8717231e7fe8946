"""Images of the cohort, the texts that describe them, and the order in which training meets them.

Shape suffixes: N images, B images of a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa

from stages.artifacts import cohort_tables, report_tables, tables
from stages.pretraining.texts import PAIRS_TABLE

Value = TypeVar("Value")
Batching = Literal["mixed", "distinct"]

NO_TEXT = -1
_ORDER_STREAM = 1


@dataclass(frozen=True)
class ImageTable:
    """One row an image: a study, or one sequence of a study.

    Rows stand in the order in which the reports first bring them, images without a text last,
    so that no order depends on ids.

    Attributes:
        study_ids: study of each image.
        patient_ids: patient of each image.
        sequences: sequence of each image, None for a whole study.
        splits: split of each image.
        text_ids_N: text that describes each image, -1 where none does.
        series: series of each image by the number of its sequence.
    """

    study_ids: list[str]
    patient_ids: list[str]
    sequences: list[str | None]
    splits: list[str]
    text_ids_N: np.ndarray
    series: list[dict[int, str]]

    def __len__(self) -> int:
        return len(self.study_ids)

    def only(self, splits: set[str]) -> ImageTable:
        """Keep the images of some splits."""
        rows = self.rows_in(splits)

        def pick(values: Sequence[Value]) -> list[Value]:
            return [values[row] for row in rows]

        return ImageTable(
            pick(self.study_ids),
            pick(self.patient_ids),
            pick(self.sequences),
            pick(self.splits),
            self.text_ids_N[rows],
            pick(self.series),
        )

    def rows_in(self, splits: set[str]) -> np.ndarray:
        """Rows of some splits."""
        return np.array([row for row, own in enumerate(self.splits) if own in splits], dtype=np.int64)

    def rows_of(self, split: str, *, is_paired: bool) -> np.ndarray:
        """Rows of a split, only those with a text if ``is_paired``."""
        rows = self.rows_in({split})
        return rows[self.text_ids_N[rows] != NO_TEXT] if is_paired else rows


def load_images(volumes: pa.Table, texts: Path, splits: Path, sequences: list[str], unit: str) -> ImageTable:
    """Build the image table of a cohort.

    Args:
        volumes: ``volumes.parquet``; only selected volumes of the given sequences are used.
        texts: folder with ``pairs.parquet``.
        splits: ``splits.parquet``; studies that it does not list are left out.
        sequences: sequences that the encoder reads, in its order.
        unit: ``study`` or ``sequence``.
    """
    split_table = tables.read(splits, cohort_tables.SPLIT_TABLE).to_pylist()
    pairs = tables.read(texts / PAIRS_TABLE, report_tables.PAIRS).to_pylist()
    number = {name: index for index, name in enumerate(sequences)}
    series: dict[tuple[str, str | None], dict[int, str]] = {}
    for row in volumes.to_pylist():
        if row["is_selected"] and row["sequence"] in number:
            key = (row["study_id"], row["sequence"] if unit == "sequence" else None)
            series.setdefault(key, {})[number[row["sequence"]]] = row["series_id"]
    text_of: dict[tuple[str, str | None], int] = {}
    for pair in pairs:
        text_of.setdefault((pair["study_id"], pair["sequence"]), pair["text_id"])
    placed = {row["study_id"]: row for row in split_table}
    views = list(sequences) if unit == "sequence" else [None]
    studies = dict.fromkeys([*(pair["study_id"] for pair in pairs), *placed])
    keys = [(study, view) for study in studies if study in placed for view in views if (study, view) in series]
    return ImageTable(
        [study for study, _ in keys],
        [placed[study]["patient_id"] for study, _ in keys],
        [view for _, view in keys],
        [placed[study]["split"] for study, _ in keys],
        np.array([text_of.get(key, NO_TEXT) for key in keys], dtype=np.int64),
        [series[key] for key in keys],
    )


def batches(groups_N: np.ndarray, batch_size: int, batching: Batching, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of training rows without end, a pure function of the seed.

    Every image is met once before any is met again; but with ``distinct`` an image whose text is
    in the batch already waits for the next one.

    Args:
        groups_N: text group of each row; rows of one group share their text, or mirror it.
        batch_size: B.
        batching: ``mixed``, or ``distinct`` for no group twice in a batch.
        seed: of the order.

    Raises:
        ValueError: if there are fewer images, or distinct groups, than a batch holds.
    """
    available = len(set(groups_N.tolist())) if batching == "distinct" else len(groups_N)
    if available < batch_size:
        raise ValueError(
            f"pretrain.batch_size={batch_size}: only {available} {batching} training pairs; choose a smaller batch"
        )
    return _batches(groups_N, batch_size, is_distinct=batching == "distinct", seed=seed)


def _batches(groups_N: np.ndarray, batch_size: int, *, is_distinct: bool, seed: int) -> Iterator[np.ndarray]:
    stream = _endless(len(groups_N), seed)
    waiting: deque[int] = deque()
    while True:
        batch: list[int] = []
        groups: set[int] = set()
        passed: dict[int, None] = {}
        while len(batch) < batch_size:
            row = waiting.popleft() if waiting else next(stream)
            if is_distinct and groups_N[row] in groups:
                passed[row] = None  # once however often it comes: a frequent text cannot pile up
            else:
                batch.append(row)
                groups.add(groups_N[row])
        waiting.extendleft(reversed(passed))
        yield np.array(batch)


def _endless(num_rows: int, seed: int) -> Iterator[int]:
    random = np.random.default_rng([seed, _ORDER_STREAM])
    while True:
        yield from random.permutation(num_rows).tolist()
