"""Retrieval between images and reports of one split, one case per query and metric.

Shapes: Q queries, G gallery items, S studies behind the items, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.artifacts import evaluation_tables
from stages.evaluation import ranking
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import Embeddings, Images
from stages.params import Params

FloatArray = np.ndarray

IMAGE_TO_TEXT, TEXT_TO_IMAGE, IMAGE_TO_IMAGE = "image_to_text", "text_to_image", "image_to_image"
#: kinds of query and gallery of each direction
DIRECTIONS = {
    IMAGE_TO_TEXT: ("image", "text"),
    TEXT_TO_IMAGE: ("text", "image"),
    IMAGE_TO_IMAGE: ("image", "image"),
}
RECALL_AT = (1, 5, 10)
#: of the query's own text, and of those that say the same but for signals, as SeLIP reports them
TEXT_RECALL_AT = range(1, 11)
PRECISION_AT = (5, 10, 50)
# Cosines closer than this are ties: float16 embeddings say no more.
SCORE_DECIMALS = 6
QUERY_BLOCK = 256


class RetrievalParams(Params):
    """Section ``evaluate_retrieval``.

    Attributes:
        splits: splits that are evaluated.
        relevant_gain: gain from which an item counts in P@k.
        categories: findings that category queries ask for.
        category_queries: query images of each category.
    """

    splits: list[str]
    relevant_gain: float = Field(gt=0, le=1)
    categories: list[str] = []
    category_queries: int = Field(default=10, ge=1)


class Relevance(Protocol):
    """What is relevant to what, by study; see ``stages.evaluation.relevance``."""

    def knows(self, study_ids: Sequence[str]) -> np.ndarray:
        """Whether each study has been judged."""

    def gain(self, query_study_ids: Sequence[str], gallery_study_ids: Sequence[str]) -> FloatArray:
        """Gain of each gallery study for each query study, in [0, 1]."""

    def statement_set(self, study_ids: Sequence[str]) -> np.ndarray:
        """Number of the statement set of each study."""

    def is_abnormal(self, study_ids: Sequence[str]) -> np.ndarray:
        """Whether each study has a finding."""


@dataclass(frozen=True)
class Items:
    """Images or unique texts of one split; a text stands for all its studies there."""

    #: row of each item in the embeddings of its kind
    rows: np.ndarray
    #: text of each item (an image's own)
    text_ids: np.ndarray
    #: image rows behind the items, item after item
    members: np.ndarray
    #: where the members of each item start
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_members(self) -> np.ndarray:
        """Images behind each item."""
        return np.diff(np.append(self.starts, len(self.members)))

    def block(self, start: int, stop: int) -> Items:
        """The items from ``start`` to before ``stop``."""
        bounds = np.append(self.starts, len(self.members))
        first, last = bounds[start], bounds[min(stop, len(self))]
        here = slice(start, stop)
        return Items(self.rows[here], self.text_ids[here], self.members[first:last], self.starts[here] - first)


@dataclass(frozen=True)
class Judgement:
    """What a ranking is held against, each of shape (Q, G)."""

    gains: FloatArray
    is_relevant: np.ndarray
    is_hit: np.ndarray
    is_own: np.ndarray
    is_coarse: np.ndarray
    is_excluded: np.ndarray


@dataclass(frozen=True)
class RetrievalEvaluation:
    """Ranks every gallery for every query: image→text, text→image and image→image.

    Queries and galleries are the judged images of a split that have a text, and their unique texts. The gain
    between an image and a text is the mean over the split's studies with that text; a hit is any item
    with the same statement set; an exact hit is the query's own text, a coarse one any text that says the
    same but for signals (SeLIP, arXiv 2503.19801). From image to image the patient's own images are left
    out of the gallery, and there is neither.
    """

    name: str
    embeddings: Embeddings
    relevance: Relevance
    #: language of each text_id
    languages: Mapping[int, str]
    #: number of what each text_id says, signals left out
    collapsed: Mapping[int, int]
    params: RetrievalParams

    def run(self) -> pa.Table:
        """Evaluate every split, direction and seed; without texts only image→image.

        Returns:
            Retrieval cases. A query whose gallery holds nothing relevant has no case of that metric.
        """
        blocks = [
            block
            for split in self.params.splits
            for direction, kinds in DIRECTIONS.items()
            if all(self.embeddings.has(kind) for kind in kinds)
            for block in self._rank(split, direction)
        ]
        return pa.concat_tables([evaluation_tables.RETRIEVAL_CASES.schema.empty_table(), *blocks])

    def _rank(self, split: str, direction: str) -> Iterator[pa.Table]:
        query_kind, gallery_kind = DIRECTIONS[direction]
        images = judged_images(self.embeddings, self.relevance, split)
        queries, gallery = (select_items(self.embeddings, images, kind) for kind in (query_kind, gallery_kind))
        for start in range(0, len(queries), QUERY_BLOCK):
            block = queries.block(start, start + QUERY_BLOCK)
            judgement = self._judge(block, gallery, is_same_kind=query_kind == gallery_kind)
            for seed in self.embeddings.seeds:
                queries_QD = self.embeddings.vectors(seed, query_kind)[block.rows]
                gallery_GD = self.embeddings.vectors(seed, gallery_kind)[gallery.rows]
                scores_QG = np.round(queries_QD @ gallery_GD.T, SCORE_DECIMALS)
                scores_QG[judgement.is_excluded] = ranking.EXCLUDED
                yield self._to_cases(block, measure(scores_QG, judgement), seed, split, direction)

    def _judge(self, queries: Items, gallery: Items, *, is_same_kind: bool) -> Judgement:
        images = self.embeddings.images
        query_ids = [images.study_ids[row] for row in queries.members]
        gallery_ids = [images.study_ids[row] for row in gallery.members]
        same_set = np.equal.outer(self.relevance.statement_set(query_ids), self.relevance.statement_set(gallery_ids))
        gains = mean_gains(self.relevance, images, queries, gallery)
        nothing = np.zeros(gains.shape, dtype=bool)
        patients = np.array(images.patient_ids, dtype=str)
        return Judgement(
            gains=gains,
            is_relevant=gains >= self.params.relevant_gain,
            is_hit=_pool(np.logical_or, same_set, queries, gallery),
            is_own=nothing if is_same_kind else np.equal.outer(queries.text_ids, gallery.text_ids),
            is_coarse=nothing if is_same_kind else np.equal.outer(self._collapse(queries), self._collapse(gallery)),
            is_excluded=np.equal.outer(patients[queries.rows], patients[gallery.rows]) if is_same_kind else nothing,
        )

    def _collapse(self, items: Items) -> np.ndarray:
        return np.array([self.collapsed[text_id] for text_id in items.text_ids.tolist()], dtype=int)

    def _to_cases(
        self, queries: Items, metrics: dict[str, FloatArray], seed: int, split: str, direction: str
    ) -> pa.Table:
        images = self.embeddings.images
        first = queries.members[queries.starts]
        study_ids = [images.study_ids[row] for row in first]
        values = np.stack(list(metrics.values()))
        metric, query = np.nonzero(~np.isnan(values))
        columns = {
            "objective": self.name,
            "seed": seed,
            "split": split,
            "study_id": Codes(study_ids, query),
            "patient_id": Codes([images.patient_ids[row] for row in first], query),
            "direction": direction,
            "class": None,
            "language": Codes([self.languages.get(text_id) for text_id in queries.text_ids.tolist()], query),
            "is_abnormal": Codes(np.asarray(self.relevance.is_abnormal(study_ids)).tolist(), query),
            "metric": Codes(list(metrics), metric),
            "value": values[metric, query].astype(np.float32),
        }
        return table(evaluation_tables.RETRIEVAL_CASES, len(query), columns)


def judged_images(embeddings: Embeddings, relevance: Relevance, split: str) -> np.ndarray:
    """Rows of the images of a split that have a text and whose study has been judged."""
    rows = embeddings.images.rows_of(split, with_text=True)
    return rows[relevance.knows([embeddings.images.study_ids[row] for row in rows])]


def select_items(embeddings: Embeddings, rows: np.ndarray, kind: str) -> Items:
    """Make items of images that have a text, or of their unique texts by first appearance.

    Args:
        embeddings: of one objective.
        rows: the images.
        kind: image or text.
    """
    own = np.array([embeddings.images.text_ids[row] for row in rows], dtype=int)
    if kind == "image":
        return Items(rows, own, rows, np.arange(len(rows)))
    text_ids = np.array(list(dict.fromkeys(own.tolist())), dtype=int)
    position = {text_id: number for number, text_id in enumerate(text_ids.tolist())}
    item_of_image = np.array([position[text_id] for text_id in own.tolist()], dtype=int)
    order = np.argsort(item_of_image, kind="stable")
    text_rows = np.array([embeddings.text_rows[text_id] for text_id in text_ids.tolist()], dtype=int)
    return Items(text_rows, text_ids, rows[order], np.searchsorted(item_of_image[order], np.arange(len(text_ids))))


def mean_gains(relevance: Relevance, images: Images, queries: Items, gallery: Items) -> FloatArray:
    """Gain of each gallery item for each query, the mean over the studies behind both. Shape (Q, G)."""
    query_ids, gallery_ids = ([images.study_ids[row] for row in items.members] for items in (queries, gallery))
    gains = _pool(np.add, relevance.gain(query_ids, gallery_ids).astype(float), queries, gallery)
    return gains / np.outer(queries.num_members, gallery.num_members)


def measure(scores_QG: FloatArray, judgement: Judgement) -> dict[str, FloatArray]:
    """Compute every metric of a block of rankings, each (Q,), NaN where it is not defined."""
    hit = ranking.FirstHit(scores_QG, judgement.is_hit)
    own = ranking.FirstHit(scores_QG, judgement.is_own)
    coarse = ranking.FirstHit(scores_QG, judgement.is_coarse)
    return {
        "ndcg@10": ranking.ndcg(scores_QG, judgement.gains, 10),
        **{f"recall@{k}": hit.recall(k) for k in RECALL_AT},
        **{f"exact_recall@{k}": own.recall(k) for k in TEXT_RECALL_AT},
        **{f"coarse_recall@{k}": coarse.recall(k) for k in TEXT_RECALL_AT},
        **{f"precision@{k}": ranking.precision(scores_QG, judgement.is_relevant, k) for k in PRECISION_AT},
        "rank": hit.rank(),
    }


def _pool(reduce: np.ufunc, values_SS: np.ndarray, queries: Items, gallery: Items) -> np.ndarray:
    return reduce.reduceat(reduce.reduceat(values_SS, queries.starts, axis=0), gallery.starts, axis=1)
