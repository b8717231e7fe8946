"""What embeddings give away of the scanner, and what retrieval loses with each sequence, case by case.

Shapes: N studies, D features, Q images, V views of images, G texts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.artifacts import evaluation_tables, imaging_tables, tables
from stages.evaluation import ranking
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import VIEW, Embeddings, Images
from stages.evaluation.retrieval import QUERY_BLOCK, SCORE_DECIMALS, Relevance, judged_images, mean_gains, select_items
from stages.evaluation.summaries import DECIMALS
from stages.params import Params

logger = logging.getLogger(__name__)

FloatArray = np.ndarray
#: code of each study by attribute, None where it is not known
Scanners = Mapping[str, Mapping[str, str | None]]

TRAIN = "train"
ALL = "all"
NDCG_DROP = "ndcg_drop"


class ShortcutParams(Params):
    """Section ``evaluate_shortcuts``.

    Attributes:
        splits: splits that are evaluated.
        penalties: strengths of the ridge penalty to choose from (scikit-learn's 1/C).
        num_folds: folds of the choice, by patient; a code of fewer training patients is left out.
    """

    splits: list[str]
    penalties: list[float] = Field(min_length=1)
    num_folds: int = Field(ge=2)


@dataclass(frozen=True)
class Cases:
    """Writes values of images of one method as cases of measures."""

    name: str
    images: Images

    def table(self, rows: np.ndarray, values: FloatArray, about: tuple[int, str, str], code: str) -> pa.Table:
        """Make a case of each image whose value is defined.

        Args:
            rows: the images.
            values: value of each, NaN where it is not defined.
            about: seed, split and metric.
            code: class of the cases.
        """
        is_defined = ~np.isnan(values)
        distinct, case = np.unique(rows[is_defined], return_inverse=True)
        seed, split, metric = about
        columns = {
            "objective": self.name,
            "seed": seed,
            "split": split,
            "study_id": Codes([self.images.study_ids[row] for row in distinct], case),
            "patient_id": Codes([self.images.patient_ids[row] for row in distinct], case),
            "metric": metric,
            "class": code,
            "label_fraction": None,
            "value": values[is_defined].astype(np.float32),
        }
        return table(evaluation_tables.MEASURE_CASES, len(case), columns)


def evaluate_shortcuts(
    name: str, embeddings: Embeddings, scanners: Scanners, relevance: Relevance, params: ShortcutParams
) -> pa.Table:
    """Probe one method for the scanner, and rank texts for its images without each sequence.

    Returns:
        Cases of measures: ``vendor_accuracy``, ``field_strength_accuracy`` and ``ndcg_drop``.
    """
    parts = [
        *ScannerProbes(name, embeddings, params).run(scanners),
        *SequenceDrops(name, embeddings, relevance).run(params.splits),
    ]
    return pa.concat_tables([evaluation_tables.MEASURE_CASES.schema.empty_table(), *parts])


def summarise_shortcuts(cases: pa.Table) -> dict[str, Any]:
    """Mean over cases and seeds, by split, metric and class."""
    means = cases.group_by(["split", "metric", "class"], use_threads=False).aggregate([("value", "mean")])
    summary: dict[str, Any] = {}
    for row in means.to_pylist():
        of_metric = summary.setdefault(row["split"], {}).setdefault(row["metric"], {})
        of_metric[row["class"]] = round(row["value_mean"], DECIMALS)
    return summary


def read_scanners(series: Path) -> Scanners:
    """Read vendor and field strength of each study, of its first series in ``series.parquet``."""
    rows = tables.read(series, imaging_tables.SERIES, ["study_id", "vendor", "field_strength_t"]).to_pylist()
    first = {row["study_id"]: row for row in reversed(rows)}
    strengths = {study_id: row["field_strength_t"] for study_id, row in first.items()}
    return {
        "vendor": {study_id: row["vendor"] for study_id, row in first.items()},
        "field_strength": {s: None if tesla is None else f"{tesla:.1f} T" for s, tesla in strengths.items()},
    }


@dataclass(frozen=True)
class ScannerProbes:
    """How well a probe tells the scanner from image embeddings.

    A multinomial logistic regression with balanced class weights is fitted on the training studies; its
    penalty is chosen there, by cross-validation that keeps a patient's studies together. A case is a study
    of an evaluated split whose code training knows. ``<attribute>_accuracy`` of a code is the share of its
    studies that are told, of ``all`` the plain accuracy; the tables make the balanced accuracy of them, of
    which chance is one over the number of codes. Where vendors see different diseases some of what is told
    is no shortcut.
    """

    name: str
    embeddings: Embeddings
    params: ShortcutParams

    def run(self, scanners: Scanners) -> Iterator[pa.Table]:
        """Probe for every attribute, for every seed."""
        images = self.embeddings.images
        study_ids, study_of_image = _number(images.study_ids)
        first_N = np.unique(study_of_image, return_index=True)[1]
        splits_N = np.array([images.splits[row] for row in first_N], dtype=str)
        patients_N = _number([images.patient_ids[row] for row in first_N])[1]
        for attribute, code_of in scanners.items():
            codes_N = np.array([code_of.get(study_id) or "" for study_id in study_ids], dtype=str)
            learnt = self._learnable(codes_N, patients_N, splits_N == TRAIN)
            if len(learnt) < 2:
                logger.info("%s: training studies do not differ in %s, nothing to tell", self.name, attribute)
                continue
            is_learnt_N = np.isin(codes_N, learnt)
            is_train_N = is_learnt_N & (splits_N == TRAIN)
            for seed in self.embeddings.seeds:
                features_ND = _pool(self.embeddings.vectors(seed, "image"), study_of_image)
                probe = self._fit(features_ND[is_train_N], codes_N[is_train_N], patients_N[is_train_N])
                for split in self.params.splits:
                    rows = np.flatnonzero(is_learnt_N & (splits_N == split))
                    if len(rows):
                        told = probe.predict(features_ND[rows])
                        yield from self._cases(
                            first_N[rows], codes_N[rows], told, (seed, split, f"{attribute}_accuracy")
                        )

    def _learnable(self, codes_N: np.ndarray, patients_N: np.ndarray, is_train_N: np.ndarray) -> list[str]:
        known = [code for code in dict.fromkeys(codes_N[is_train_N].tolist()) if code]
        num_patients = [len(set(patients_N[is_train_N & (codes_N == code)].tolist())) for code in known]
        return [code for code, number in zip(known, num_patients, strict=True) if number >= self.params.num_folds]

    def _fit(self, features_ND: FloatArray, codes_N: np.ndarray, patients_N: np.ndarray) -> GridSearchCV:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)),
            {"logisticregression__C": [1 / penalty for penalty in self.params.penalties]},
            scoring="balanced_accuracy",
            cv=GroupKFold(self.params.num_folds),
        )
        return search.fit(features_ND, codes_N, groups=patients_N)

    def _cases(
        self, images: np.ndarray, codes: np.ndarray, told: np.ndarray, about: tuple[int, str, str]
    ) -> Iterator[pa.Table]:
        cases, is_told = Cases(self.name, self.embeddings.images), (told == codes).astype(float)
        for code in np.unique(codes).tolist():
            yield cases.table(images[codes == code], is_told[codes == code], about, code)
        yield cases.table(images, is_told, about, ALL)


@dataclass(frozen=True)
class SequenceDrops:
    """How much image→text retrieval loses when a sequence is withheld.

    ``ndcg_drop`` of a sequence is nDCG@10 of an image with all its sequences minus that without the one, over
    the images that have it and another; ``all`` is over every sequence. The gallery, the unique texts of
    the split, and the gains are those of retrieval.
    """

    name: str
    embeddings: Embeddings
    relevance: Relevance

    def run(self, splits: list[str]) -> Iterator[pa.Table]:
        """Rank the texts of every split, for every seed."""
        if not (self.embeddings.has(VIEW) and self.embeddings.has("text")):
            logger.info("%s: embeds no texts, or no images without a sequence; no drop to measure", self.name)
            return
        for split in splits:
            for seed in self.embeddings.seeds:
                yield from self._cases(split, seed)

    def _cases(self, split: str, seed: int) -> Iterator[pa.Table]:
        images, views = self.embeddings.images, self.embeddings.views
        rows = judged_images(self.embeddings, self.relevance, split)
        place = {images.study_ids[row]: number for number, row in enumerate(rows.tolist())}
        place_of_view = np.array([place.get(study_id, -1) for study_id in views.study_ids], dtype=int)
        views_V = np.flatnonzero(place_of_view >= 0)
        drops_V = self._drops(rows, views_V, place_of_view[views_V], seed)
        withheld_V = np.array(self.embeddings.withheld, dtype=str)[views_V]
        shown_V, cases = rows[place_of_view[views_V]], Cases(self.name, images)
        for sequence in dict.fromkeys(withheld_V.tolist()):
            here = withheld_V == sequence
            yield cases.table(shown_V[here], drops_V[here], (seed, split, NDCG_DROP), sequence)
        yield cases.table(shown_V, drops_V, (seed, split, NDCG_DROP), ALL)

    def _drops(self, rows: np.ndarray, views_V: np.ndarray, query_V: np.ndarray, seed: int) -> FloatArray:
        queries, gallery = (select_items(self.embeddings, rows, kind) for kind in ("image", "text"))
        texts_GD = self.embeddings.vectors(seed, "text")[gallery.rows]
        images_QD = self.embeddings.vectors(seed, "image")[queries.rows]
        views_VD = self.embeddings.vectors(seed, VIEW)[views_V]
        drops_V = np.full(len(views_V), np.nan)
        for start in range(0, len(queries), QUERY_BLOCK):
            gains_QG = mean_gains(
                self.relevance, self.embeddings.images, queries.block(start, start + QUERY_BLOCK), gallery
            )
            here = np.flatnonzero((query_V >= start) & (query_V < start + QUERY_BLOCK))
            whole_Q = _ndcg(images_QD[start : start + QUERY_BLOCK], texts_GD, gains_QG)
            drops_V[here] = whole_Q[query_V[here] - start] - _ndcg(
                views_VD[here], texts_GD, gains_QG[query_V[here] - start]
            )
        return drops_V


def _ndcg(images_QD: FloatArray, texts_GD: FloatArray, gains_QG: FloatArray) -> FloatArray:
    return ranking.ndcg(np.round(images_QD @ texts_GD.T, SCORE_DECIMALS), gains_QG, 10)


def _number(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Distinct values by first appearance, and the number of each value."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(numbers), np.array([numbers[value] for value in values], dtype=int)


def _pool(values_of_images: FloatArray, study_of_image: np.ndarray) -> FloatArray:
    """Average rows of images over each study (a study has several in unit ``sequence``)."""
    total = np.zeros((study_of_image.max(initial=-1) + 1, values_of_images.shape[1]))
    np.add.at(total, study_of_image, values_of_images)
    return total / np.bincount(study_of_image, minlength=len(total))[:, None]
