"""Classification of studies by zero-shot prompts, linear probes or a supervised head, case by case.

Shapes: N studies, D features, C classes, K scorings (seed, fraction and draw of one protocol).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages.evaluation import embeddings as embedded
from stages.evaluation.embeddings import Embeddings, normalise
from stages.evaluation.labels import Labels
from stages.evaluation.probes import Budget, list_budgets, probe
from stages.evaluation.scorings import TRAIN, VALIDATION, Cohort, Scoring
from stages.evaluation.subtype_tasks import SubtypeTask
from stages.params import Params

FloatArray = np.ndarray

ZERO_SHOT, LINEAR_PROBE, SUPERVISED = "zero_shot", "linear_probe", "supervised"
FINE_TUNING = "fine_tuning"
# Views of one sequence that no pretraining saw: their protocols, and the split of their test studies.
TRANSFER = "_transfer"
TEST, TEST_SEQUENCE = "test", "test_sequence"


class ClassificationParams(Params):
    """Section ``evaluate_classification``.

    Attributes:
        splits: splits that are evaluated, beside validation.
        min_positives: positives that a finding needs in a split to count in the macro average.
        label_fractions: shares of the training labels of each class.
        shots: counts of patients with and without each class.
        num_draws: nested draws of each budget of labels.
        draw_seed: of the draws, here and in fine-tuning.
        probed: what the linear probe sees.
        subtype_tasks: two-class tasks by the name of their class; never part of the macro average.
    """

    splits: list[str]
    min_positives: int = Field(ge=1)
    label_fractions: list[float] = Field(min_length=1)
    shots: list[Annotated[int, Field(ge=1)]] = []
    num_draws: int = Field(ge=1)
    draw_seed: int = Field(ge=0)
    probed: Literal["image", "feature"]
    subtype_tasks: dict[str, SubtypeTask] = {}


def score_objective(
    embeddings: Embeddings,
    cohort: Cohort,
    prompts: Mapping[int, tuple[str, str]],
    params: ClassificationParams,
) -> Iterator[Scoring]:
    """Score every study by each protocol that the objective allows, for each of its seeds.

    Views of an unseen sequence are scored by :func:`score_transfer`.

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
            yield Scoring(SUPERVISED, seed, Budget(), None, embeddings.classes, logits_NC)


def score_probes(
    features_ND: FloatArray, cohort: Cohort, params: ClassificationParams, *, seed: int
) -> Iterator[Scoring]:
    """Fit linear probes on features standardised by the training studies, at every fraction and draw.

    Draws depend on ``draw_seed`` alone, so all methods and seeds share them. All labels are one draw.
    A class is left out of a draw where it has only one label in training.
    """
    is_train, groups = cohort.training()
    if not is_train.any():
        return
    mean, deviation = features_ND[is_train].mean(axis=0), features_ND[is_train].std(axis=0)
    features_ND = (features_ND - mean) / np.where(deviation > 1e-9, deviation, 1.0)
    train_NC = cohort.labels[is_train]
    for budget in list_budgets(params.label_fractions, params.shots):
        for draw in range(1 if budget.is_whole else params.num_draws):
            members, folds = budget.draw(train_NC, groups, seed=params.draw_seed, draw=draw)
            fitted, is_fitted = probe(features_ND[is_train], train_NC, members, folds)
            classes = [name for name, fine in zip(cohort.classes, is_fitted, strict=True) if fine]
            yield Scoring(LINEAR_PROBE, seed, budget, draw, classes, fitted.logits(features_ND)[:, is_fitted])


def transfer_cohort(embeddings: Embeddings, labels: Labels) -> Cohort:
    """Studies seen through one sequence that no pretraining saw; the test studies are a split of their own.

    Few studies have the sequence, so ``labels`` should hold findings only: no subtypes of one of them.
    """
    cohort = Cohort.build(embeddings.transfer, labels)
    kept = {TRAIN: TRAIN, VALIDATION: VALIDATION, TEST: TEST_SEQUENCE}
    return replace(cohort, splits=np.array([kept.get(split, "") for split in cohort.splits.tolist()], dtype=str))


def score_transfer(
    embeddings: Embeddings,
    cohort: Cohort,
    prompts: Mapping[int, tuple[str, str]],
    params: ClassificationParams,
) -> Iterator[Scoring]:
    """Score views of an unseen sequence: zero-shot, and by probes fitted on such views of training studies.

    Probes learn from shares of the labels, not from counts: few studies have the sequence.

    Args:
        embeddings: of one objective.
        cohort: from :func:`transfer_cohort`.
        prompts: finding and polarity of each prompt_id.
        params: budgets and draws.
    """
    for seed in embeddings.seeds if embeddings.has(embedded.TRANSFER) else ():
        views_ND = normalise(cohort.pool(embeddings.vectors(seed, embedded.TRANSFER)))
        scorings = list(score_probes(views_ND, cohort, without_shots(params), seed=seed))
        if embeddings.has("prompt"):
            scorings.insert(0, _zero_shot(embeddings, views_ND, prompts, seed))
        yield from (as_transfer(scoring) for scoring in scorings)


def uninformed_scores(cohort: Cohort, params: ClassificationParams, *, is_tuned: bool = True) -> Iterator[Scoring]:
    """Give every study the same score under every protocol: chance, an AUC of one half.

    Args:
        cohort: the studies.
        params: budgets of labels.
        is_tuned: whether the encoders are fine-tuned on these studies, too.
    """
    scores_NC = np.zeros((len(cohort.study_ids), len(cohort.classes)))
    findings = [name for name in cohort.classes if name not in params.subtype_tasks]  # prompts are of findings
    yield Scoring(ZERO_SHOT, 0, Budget(), None, findings, scores_NC[:, : len(findings)])
    for budget in list_budgets(params.label_fractions, params.shots):
        yield Scoring(LINEAR_PROBE, 0, budget, 0, cohort.classes, scores_NC)
        if is_tuned:
            yield Scoring(FINE_TUNING, 0, budget, None, cohort.classes, scores_NC)


def without_shots(params: ClassificationParams) -> ClassificationParams:
    """Shares of the labels only: too few studies have the unseen sequence to count patients."""
    return params.model_copy(update={"shots": []})


def as_transfer(scoring: Scoring) -> Scoring:
    """Name the protocol by what it is about: views of an unseen sequence."""
    return replace(scoring, protocol=scoring.protocol + TRANSFER)


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
        return Scoring(ZERO_SHOT, seed, Budget(), None, [], np.zeros((len(images_ND), 0)))
    scores_NC = images_ND @ (prototypes("positive") - prototypes("negative")).T
    return Scoring(ZERO_SHOT, seed, Budget(), None, classes, scores_NC)
