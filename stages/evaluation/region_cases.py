"""Region cases: one score a study, finding and region.

Shape suffixes: N studies, F findings, R regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from stages.artifacts import evaluation_tables
from stages.evaluation.cases import Codes, table
from stages.evaluation.estimates import to_frame
from stages.evaluation.quantities import ALL
from stages.evaluation.region_areas import presence_areas, ranking_cases
from stages.evaluation.region_truth import RegionTruth
from stages.pretraining.region_labels import PRESENT

FloatArray = np.ndarray

DECIMALS = 6


@dataclass(frozen=True)
class RegionCases:
    """Writes scores as cases: every finding and region that is known and shown, of the evaluated splits.

    Attributes:
        truth: of the studies.
        splits: evaluated splits.
    """

    truth: RegionTruth
    splits: Sequence[str]

    def of(self, scores_NFR: FloatArray, *, name: str, seed: int) -> pa.Table:
        """Write the scores of one seed of one row of the tables."""
        truth = self.truth
        is_case_NFR = truth.is_cell & np.isin(truth.splits, list(self.splits))[:, None, None]
        study, finding, region = np.nonzero(is_case_NFR)
        columns = {
            "objective": name,
            "seed": seed,
            "split": Codes(truth.splits.tolist(), study),
            "study_id": Codes(truth.study_ids, study),
            "patient_id": Codes(truth.patient_ids, study),
            "class": Codes(truth.findings, finding),
            "region": Codes([one.name for one in truth.regions], region),
            "score": scores_NFR[is_case_NFR].astype(np.float32),
            "label": (truth.labels_NFR[is_case_NFR] == PRESENT).astype(np.int8),
        }
        return table(evaluation_tables.REGION_CASES, len(study), columns)


def join(parts: Sequence[pa.Table]) -> pa.Table:
    """Put the cases of several seeds together; an empty table without any."""
    return pa.concat_tables([evaluation_tables.REGION_CASES.schema.empty_table(), *parts])


def summarise_regions(cases: pa.Table, min_positives: int) -> dict[str, Any]:
    """Mean average precision and macro area, mean over seeds, by split.

    Args:
        cases: of one row of the tables.
        min_positives: studies that a finding needs to count in the macro average.
    """
    frame = to_frame(cases)
    ranked, areas = ranking_cases(frame), presence_areas(frame)
    summary: dict[str, Any] = {}
    for split, of_split in ranked[ranked["class"] == ALL].groupby("split", sort=False):
        summary[str(split)] = {"region_ap": _rounded(of_split["value"])}
    for split, of_split in areas[areas["num_positives"] >= min_positives].groupby("split", sort=False):
        summary.setdefault(str(split), {})["region_presence_auc"] = _rounded(of_split["value"])
    return summary


def _rounded(values: pd.Series) -> float:
    return round(float(values.mean()), DECIMALS)
