"""Every row of the tables that one objective has of regions: its prompts, its own head, and the control of that.

Shape suffixes: N studies, F findings, R regions, K degrees of sharpness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.evaluation.cases import CHANCE, PRIOR
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.region_cases import RegionCases, join
from stages.evaluation.region_scores import RegionInputs, best_sharpness, score_studies
from stages.evaluation.region_task import OWN, SHUFFLED
from stages.evaluation.region_truth import RegionTruth
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.own_heads import OwnHeads, is_exported, load_heads

TRAIN = "train"


@dataclass
class Evaluated:
    """Cases of one objective by the ending of the row's name, and what was chosen on validation."""

    cases: dict[str, list[pa.Table]] = field(default_factory=lambda: {ending: [] for ending in ("", OWN, SHUFFLED)})
    sharpness: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tables(self) -> dict[str, pa.Table]:
        """Cases of all seeds; an empty table for a row that the objective does not have."""
        return {ending: join(of_seeds) for ending, of_seeds in self.cases.items()}


def evaluate_seeds(name: str, model: Path, inputs: RegionInputs, params: RegionsParams) -> Evaluated:
    """Score every seed of an objective.

    Args:
        name: of the objective.
        model: its exported encoders and heads.
        inputs: images of the evaluated splits and validation.
        params: of the evaluation.
    """
    bank = inputs.open_bank(model, len(load_config(model).sequences), params.max_resident_gib)
    writer, found = RegionCases(inputs.truth, params.splits), Evaluated()
    for seed in exported_seeds(model):
        heads = presence_heads(model, seed)
        scores = score_studies(load_encoders(model, seed), bank, inputs, heads, params, seed)
        if scores.shared_KNFR is not None:
            chosen, means_K = best_sharpness(scores.shared_KNFR, inputs.truth, VALIDATION)
            found.cases[""].append(writer.of(scores.shared_KNFR[chosen], name=name, seed=seed))
            found.sharpness[str(seed)] = {
                "chosen": params.sharpness[chosen],
                "validation_region_ap": [None if np.isnan(mean) else round(float(mean), 6) for mean in means_K],
            }
        for ending, scores_NFR in ((OWN, scores.own_NFR), (SHUFFLED, scores.shuffled_NFR)):
            if scores_NFR is not None:
                found.cases[ending].append(writer.of(scores_NFR, name=name + ending, seed=seed))
    return found


def presence_heads(model: Path, seed: int) -> OwnHeads | None:
    """Load an objective that tells the presence of findings in regions itself, None where it does not."""
    if not is_exported(model):
        return None
    heads = load_heads(model, seed)
    return heads if heads.tells_presence else None


def reference_tables(truth: RegionTruth, splits: Iterable[str]) -> dict[str, pa.Table]:
    """Cases of what looks at no image: chance, and how often a finding lies where in training studies.

    Chance gives all regions one score: the value of equal scores is the expectation over all their orders.
    """
    writer = RegionCases(truth, list(splits))
    frequencies_FR = truth.frequencies(TRAIN)
    scores = {CHANCE: np.zeros_like(frequencies_FR), PRIOR: frequencies_FR}
    shape = truth.labels_NFR.shape
    return {name: writer.of(np.broadcast_to(one_FR, shape), name=name, seed=0) for name, one_FR in scores.items()}
