"""How much recall is lost to texts that say the same: the very own match against any equal, or nearly equal, one.

Shapes: Q queries, G gallery items, N images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.artifacts import evaluation_tables
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.ranking import FirstHit
from stages.evaluation.retrieval import IMAGE_TO_TEXT, SCORE_DECIMALS, TEXT_TO_IMAGE, select_items
from stages.pretraining.similarity_source import SimilaritySource

FloatArray = np.ndarray

ALL = "all"
RECALL, LOST_TO_EQUAL, LOST_TO_NEAR = "recall", "lost_to_equal", "lost_to_near"


@dataclass(frozen=True)
class RecallLoss:
    """Recall at k of each study's own match, and what it gains where more than that counts.

    ``text_to_image``: each study's text ranks all images; ``recall@k``: the study's own image is among the
    first k; ``lost_to_equal@k``: it is not, but the image of an equal text is; ``lost_to_near@k``: neither is,
    but the image of a text at least ``threshold`` similar. ``image_to_text``: each image ranks the unique texts,
    so that nothing can be lost to an equal one. The three add up to the recall of any nearly equal match.
    All are expectations over the orders of ties, as in retrieval.
    """

    name: str
    embeddings: Embeddings
    similarity: SimilaritySource
    threshold: float
    recall_at: Sequence[int]

    def run(self, splits: list[str]) -> pa.Table:
        """Rank the images and texts of every split, for every seed; returns cases of measures."""
        parts = [part for split in splits for part in self._split_cases(split)] if self.embeddings.has("text") else []
        return pa.concat_tables([evaluation_tables.MEASURE_CASES.schema.empty_table(), *parts])

    def _split_cases(self, split: str) -> Iterator[pa.Table]:
        rows = self.embeddings.images.rows_of(split, with_text=True)
        if not len(rows):
            return
        images, texts = (select_items(self.embeddings, rows, kind) for kind in ("image", "text"))
        place = {text_id: number for number, text_id in enumerate(texts.text_ids.tolist())}
        text_of_image = np.array([place[text_id] for text_id in images.text_ids.tolist()])
        is_near_UU = self.similarity.block(texts.text_ids) >= self.threshold
        np.fill_diagonal(is_near_UU, True)
        is_equal_NN = np.equal.outer(text_of_image, text_of_image)
        is_own_NU = np.equal.outer(text_of_image, np.arange(len(texts)))
        for seed in self.embeddings.seeds:
            images_ND = self.embeddings.vectors(seed, "image")[images.rows]
            texts_UD = self.embeddings.vectors(seed, "text")[texts.rows]
            scores_NU = np.round(images_ND @ texts_UD.T, SCORE_DECIMALS)
            to_images = {
                RECALL: np.eye(len(rows), dtype=bool),
                LOST_TO_EQUAL: is_equal_NN,
                LOST_TO_NEAR: is_near_UU[np.ix_(text_of_image, text_of_image)],
            }
            to_texts = {RECALL: is_own_NU, LOST_TO_NEAR: is_near_UU[text_of_image]}
            yield self._to_cases(rows, self._measure(scores_NU.T[text_of_image], to_images), seed, split, TEXT_TO_IMAGE)
            yield self._to_cases(rows, self._measure(scores_NU, to_texts), seed, split, IMAGE_TO_TEXT)

    def _measure(self, scores_QG: FloatArray, hits: Mapping[str, np.ndarray]) -> dict[str, FloatArray]:
        """Recall of the first kind of hits, and what each wider kind adds, each (Q,)."""
        values: dict[str, FloatArray] = {}
        found = [FirstHit(scores_QG, is_hit_QG) for is_hit_QG in hits.values()]
        for k in self.recall_at:
            recalls = [hit.recall(k) for hit in found]
            for name, recall, narrower in zip(hits, recalls, [0.0, *recalls], strict=False):
                values[f"{name}@{k}"] = recall - narrower
        return values

    def _to_cases(
        self, rows: np.ndarray, values: Mapping[str, FloatArray], seed: int, split: str, direction: str
    ) -> pa.Table:
        images = self.embeddings.images
        metric, case = (axis.ravel() for axis in np.indices((len(values), len(rows))))
        columns = {
            "objective": self.name,
            "seed": seed,
            "split": split,
            "study_id": Codes([images.study_ids[row] for row in rows], case),
            "patient_id": Codes([images.patient_ids[row] for row in rows], case),
            "metric": Codes([f"{direction}/{name}" for name in values], metric),
            "class": ALL,
            "label_fraction": None,
            "value": np.concatenate(list(values.values())).astype(np.float32),
        }
        return table(evaluation_tables.MEASURE_CASES, len(case), columns)


def summarise_loss(cases: pa.Table) -> dict[str, Any]:
    """Mean over cases and seeds, by split and metric."""
    means = cases.group_by(["split", "metric"], use_threads=False).aggregate([("value", "mean")])
    summary: dict[str, Any] = {}
    for row in means.to_pylist():
        summary.setdefault(row["split"], {})[row["metric"]] = round(row["value_mean"], 6)
    return summary
