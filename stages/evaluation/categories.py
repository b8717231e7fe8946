"""Retrieval by category, as ConVIRT (Zhang et al., arXiv 2010.00747) has it: images of a finding, by image or sentence.

Shapes: Q queries, G gallery images, K places of a ranking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.artifacts import evaluation_tables
from stages.evaluation import ranking
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.retrieval import PRECISION_AT, SCORE_DECIMALS, Relevance, RetrievalParams, judged_images

FloatArray = np.ndarray

IMAGE_TO_IMAGE, TEXT_TO_IMAGE = "category_image_to_image", "category_text_to_image"


@dataclass(frozen=True)
class Gallery:
    """Images of one split whose label of one category is known.

    Attributes:
        rows: of the images, shape (G,).
        is_relevant: which of them show the category, shape (G,).
    """

    rows: np.ndarray
    is_relevant: np.ndarray

    def draw_queries(self, num_queries: int) -> np.ndarray:
        """Take so many relevant images, spread over all in their order: a number within ``rows`` each."""
        relevant = np.flatnonzero(self.is_relevant)
        return relevant[np.linspace(0, len(relevant) - 1, min(num_queries, len(relevant))).round().astype(int)]


@dataclass(frozen=True)
class CategoryEvaluation:
    """P@k of category queries: the share of the first k images that show the finding asked for.

    **By image.** The queries are images that show the finding, as many of each finding; the gallery is every
    other image of the split but those of the query's patient. A case is a query: value P@k, patient the query's.

    **By sentence.** The queries are the lexicon's sentences, the gallery is every image of the split. A
    sentence belongs to no patient: what varies from sample to sample is who is retrieved. P@k is the
    positive predictive value of the k nearest images, so a case is a retrieved image, patient the image's,
    value 1 if it shows the finding. P@k is the mean over cases, and resampling patients gives its
    interval for the ranking as it stands. (ConVIRT gives none.)

    ConVIRT's query images show their finding alone and are in no gallery; so few studies cannot spare
    either. A label that is not known leaves an image out of that finding's queries and gallery.
    """

    name: str
    embeddings: Embeddings
    labels: Labels
    relevance: Relevance
    #: finding that each query sentence, by prompt_id, asks for
    queries: Mapping[int, str]
    params: RetrievalParams

    def run(self) -> pa.Table:
        """Evaluate every split, category, direction and seed.

        Returns:
            Retrieval cases; none of a category that no image of the split shows.
        """
        blocks = [block for split in self.params.splits for block in self._split_cases(split)]
        return pa.concat_tables([evaluation_tables.RETRIEVAL_CASES.schema.empty_table(), *blocks])

    def _split_cases(self, split: str) -> Iterator[pa.Table]:
        rows = judged_images(self.embeddings, self.relevance, split)
        labels_GC = self.labels.of([self.embeddings.images.study_ids[row] for row in rows])
        for category in self.params.categories:
            if category not in self.labels.classes:
                continue
            label_G = labels_GC[:, self.labels.classes.index(category)]
            is_known = ~np.isnan(label_G)
            gallery = Gallery(rows[is_known], label_G[is_known] > 0)
            if gallery.is_relevant.any():
                yield from self._by_image(gallery, split, category)
                yield from self._by_sentence(gallery, split, category)

    def _by_image(self, gallery: Gallery, split: str, category: str) -> Iterator[pa.Table]:
        queries = gallery.draw_queries(self.params.category_queries)
        patients = np.array([self.embeddings.images.patient_ids[row] for row in gallery.rows], dtype=str)
        is_excluded_QG = np.equal.outer(patients[queries], patients)
        relevant_QG = np.broadcast_to(gallery.is_relevant, is_excluded_QG.shape)
        for seed in self.embeddings.seeds:
            images_GD = self.embeddings.vectors(seed, "image")[gallery.rows]
            scores_QG = np.round(images_GD[queries] @ images_GD.T, SCORE_DECIMALS)
            scores_QG[is_excluded_QG] = ranking.EXCLUDED
            for k in PRECISION_AT:
                values_Q = ranking.precision(scores_QG, relevant_QG, k)
                is_defined = ~np.isnan(values_Q)
                cases = gallery.rows[queries[is_defined]], values_Q[is_defined]
                yield self._to_cases(*cases, seed, split, IMAGE_TO_IMAGE, category, f"precision@{k}")

    def _by_sentence(self, gallery: Gallery, split: str, category: str) -> Iterator[pa.Table]:
        asked = [self.embeddings.prompt_rows.get(prompt) for prompt, of in self.queries.items() if of == category]
        sentences = [row for row in asked if row is not None]
        if not sentences or not self.embeddings.has("prompt"):
            return
        relevant_QG = np.broadcast_to(gallery.is_relevant, (len(sentences), len(gallery.rows)))
        for seed in self.embeddings.seeds:
            sentences_QD = self.embeddings.vectors(seed, "prompt")[sentences]
            images_GD = self.embeddings.vectors(seed, "image")[gallery.rows]
            scores_QG = np.round(sentences_QD @ images_GD.T, SCORE_DECIMALS)
            for k in PRECISION_AT:
                retrieved_QK, values_QK = ranking.best_ranked(scores_QG, relevant_QG, k)
                cases = gallery.rows[retrieved_QK.ravel()], values_QK.ravel()
                yield self._to_cases(*cases, seed, split, TEXT_TO_IMAGE, category, f"precision@{k}")

    def _to_cases(
        self, rows: np.ndarray, values: FloatArray, seed: int, split: str, direction: str, category: str, metric: str
    ) -> pa.Table:
        """Make a case of each image of ``rows``."""
        images = self.embeddings.images
        distinct, case = np.unique(rows, return_inverse=True)
        study_ids = [images.study_ids[row] for row in distinct]
        columns = {
            "objective": self.name,
            "seed": seed,
            "split": split,
            "study_id": Codes(study_ids, case),
            "patient_id": Codes([images.patient_ids[row] for row in distinct], case),
            "direction": direction,
            "class": category,
            "language": None,
            "is_abnormal": Codes(np.asarray(self.relevance.is_abnormal(study_ids)).tolist(), case),
            "metric": metric,
            "value": values.astype(np.float32),
        }
        return table(evaluation_tables.RETRIEVAL_CASES, len(rows), columns)
