"""Classification of studies by zero-shot prompts, linear probes or a supervised head, case by case.

Shapes: N studies, D features, C classes, K scorings (seed, fraction and draw of one protocol).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.artifacts import evaluation_tables
from stages.evaluation import probes
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import Embeddings, Images, normalise
from stages.evaluation.labels import Labels
from stages.params import Params

FloatArray = np.ndarray

ZERO_SHOT, LINEAR_PROBE, SUPERVISED = "zero_shot", "linear_probe", "supervised"
TRAIN, VALIDATION = "train", "validation"


class ClassificationParams(Params):
    """Section ``evaluate_classification``."""

    splits: list[str]
    min_positives: int = Field(ge=1)
    label_fractions: list[float] = Field(min_length=1)
    num_draws: int = Field(ge=1)
    draw_seed: int = Field(ge=0)
    probed: Literal["image", "feature"]


@dataclass(frozen=True)
class Cohort:
    """The studies to classify: the images of an index, pooled by study, with their labels."""

    study_ids: list[str]
    patient_ids: list[str]
    splits: np.ndarray
    classes: list[str]
    #: 1, 0 or NaN, shape (N, C)
    labels: FloatArray
    #: study of each image
    study_of_image: np.ndarray

    @classmethod
    def build(cls, images: Images, labels: Labels) -> Cohort:
        """Group images by study, in order of first appearance, and look their labels up."""
        first = {study_id: row for row, study_id in reversed(list(enumerate(images.study_ids)))}
        study_ids = list(dict.fromkeys(images.study_ids))
        number = {study_id: row for row, study_id in enumerate(study_ids)}
        return cls(
            study_ids=study_ids,
            patient_ids=[images.patient_ids[first[study_id]] for study_id in study_ids],
            splits=np.array([images.splits[first[study_id]] or "" for study_id in study_ids], dtype=str),
            classes=labels.classes,
            labels=labels.of(study_ids),
            study_of_image=np.array([number[study_id] for study_id in images.study_ids], dtype=int),
        )

    def labels_of(self, finding: str, split: str) -> FloatArray:
        """Labels of one finding, NaN where it is not known or the study is of another split. Shape (N,)."""
        if finding not in self.classes:
            return np.full(len(self.study_ids), np.nan)
        return np.where(self.splits == split, self.labels[:, self.classes.index(finding)], np.nan)

    def pool(self, values_of_images: FloatArray) -> FloatArray:
        """Average rows of images over each study (a study has several in unit ``sequence``)."""
        total = np.zeros((len(self.study_ids), values_of_images.shape[1]))
        np.add.at(total, self.study_of_image, values_of_images)
        return total / np.bincount(self.study_of_image, minlength=len(total))[:, None]


@dataclass(frozen=True)
class Scoring:
    """Scores of all studies for some classes under one protocol, seed, fraction and draw."""

    protocol: str
    seed: int
    label_fraction: float | None
    draw: int | None
    classes: list[str]
    #: shape (N, C)
    scores: FloatArray


def score_objective(
    embeddings: Embeddings,
    cohort: Cohort,
    prompts: Mapping[int, tuple[str, str]],
    params: ClassificationParams,
) -> Iterator[Scoring]:
    """Score every study by each protocol that the objective allows, for each of its seeds.

    Args:
        embeddings: of one objective.
        cohort: built from the same images.
        prompts: finding and polarity of each prompt_id.
        params: fractions and draws.
    """
    for seed in embeddings.seeds:
        images_ND = normalise(cohort.pool(embeddings.vectors(seed, "image")))
        if embeddings.has("prompt"):
            yield _zero_shot(embeddings, images_ND, prompts, seed)
        features_ND = normalise(cohort.pool(embeddings.vectors(seed, params.probed)))
        yield from score_probes(features_ND, cohort, params, seed=seed)
        if embeddings.has("logit"):
            logits_NC = cohort.pool(embeddings.logits(seed))
            yield Scoring(SUPERVISED, seed, None, None, embeddings.classes, logits_NC)


def score_probes(
    features_ND: FloatArray, cohort: Cohort, params: ClassificationParams, *, seed: int
) -> Iterator[Scoring]:
    """Fit linear probes on features standardised by the training studies, at every fraction and draw.

    Draws depend on ``draw_seed`` alone, so all methods and seeds share them. All labels are one draw.
    A class is left out of a draw where it has only one label in training.
    """
    is_train = cohort.splits == TRAIN
    if not is_train.any():
        return
    mean, deviation = features_ND[is_train].mean(axis=0), features_ND[is_train].std(axis=0)
    features_ND = (features_ND - mean) / np.where(deviation > 1e-9, deviation, 1.0)
    train_NC = cohort.labels[is_train]
    patients = [patient for patient, here in zip(cohort.patient_ids, is_train, strict=True) if here]
    number = {patient: row for row, patient in enumerate(dict.fromkeys(patients))}
    groups = np.array([number[patient] for patient in patients])
    for fraction in params.label_fractions:
        for draw in range(params.num_draws if fraction < 1 else 1):
            members, folds = probes.draw_members(train_NC, groups, fraction=fraction, seed=params.draw_seed, draw=draw)
            fitted, is_fitted = probes.probe(features_ND[is_train], train_NC, members, folds)
            classes = [name for name, fine in zip(cohort.classes, is_fitted, strict=True) if fine]
            yield Scoring(LINEAR_PROBE, seed, fraction, draw, classes, fitted.logits(features_ND)[:, is_fitted])


def uninformed_scores(cohort: Cohort, params: ClassificationParams) -> Iterator[Scoring]:
    """Give every study the same score under every protocol: chance, an AUC of one half."""
    scores_NC = np.zeros((len(cohort.study_ids), len(cohort.classes)))
    yield Scoring(ZERO_SHOT, 0, None, None, cohort.classes, scores_NC)
    for fraction in params.label_fractions:
        yield Scoring(LINEAR_PROBE, 0, fraction, 0, cohort.classes, scores_NC)


def to_cases(scorings: Iterable[Scoring], cohort: Cohort, params: ClassificationParams, *, name: str) -> pa.Table:
    """Write scores as cases: every study with a known label in the evaluated and validation splits.

    Validation cases are there for the threshold of the balanced accuracy.
    """
    tables_of = [_scoring_cases(scoring, cohort, [VALIDATION, *params.splits], name) for scoring in scorings]
    return pa.concat_tables([evaluation_tables.CLASSIFICATION_CASES.schema.empty_table(), *tables_of])


def _zero_shot(
    embeddings: Embeddings, images_ND: FloatArray, prompts: Mapping[int, tuple[str, str]], seed: int
) -> Scoring:
    vectors = embeddings.vectors(seed, "prompt")
    ensembles: dict[tuple[str, str], list[int]] = {}
    for prompt_id, row in embeddings.prompt_rows.items():
        ensembles.setdefault(prompts[prompt_id], []).append(row)
    classes = [finding for finding, polarity in ensembles if polarity == "positive"]
    classes = [finding for finding in classes if (finding, "negative") in ensembles]

    def prototypes(polarity: str) -> FloatArray:
        return normalise(np.stack([vectors[ensembles[finding, polarity]].mean(axis=0) for finding in classes]))

    if not classes:
        return Scoring(ZERO_SHOT, seed, None, None, [], np.zeros((len(images_ND), 0)))
    scores_NC = images_ND @ (prototypes("positive") - prototypes("negative")).T
    return Scoring(ZERO_SHOT, seed, None, None, classes, scores_NC)


def _scoring_cases(scoring: Scoring, cohort: Cohort, splits: list[str], name: str) -> pa.Table:
    classes = [finding for finding in scoring.classes if finding in cohort.classes]
    scores_NC = scoring.scores[:, [scoring.classes.index(finding) for finding in classes]]
    labels_NC = cohort.labels[:, [cohort.classes.index(finding) for finding in classes]]
    is_case_NC = ~np.isnan(labels_NC) & np.isin(cohort.splits, splits)[:, None]
    position, study = np.nonzero(is_case_NC.T)
    columns = {
        "objective": name,
        "seed": scoring.seed,
        "split": Codes(cohort.splits.tolist(), study),
        "study_id": Codes(cohort.study_ids, study),
        "patient_id": Codes(cohort.patient_ids, study),
        "protocol": scoring.protocol,
        "class": Codes(classes, position),
        "label_fraction": scoring.label_fraction,
        "draw": scoring.draw,
        "score": scores_NC[study, position].astype(np.float32),
        "label": labels_NC[study, position].astype(np.int8),
    }
    return table(evaluation_tables.CLASSIFICATION_CASES, len(study), columns)
