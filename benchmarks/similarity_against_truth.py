"""How a training similarity agrees with the gain from truth, among training studies after `dvc repro`.

Run as ``python benchmarks/similarity_against_truth.py --similarity data/similarity/convex.safetensors``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from stages.artifacts import tables
from stages.artifacts.cohort_tables import SPLIT_TABLE
from stages.artifacts.report_tables import PAIRS
from stages.evaluation.relevance import Relevance
from stages.reports.similarity import BatchSimilarity

ALIKE_GAIN = 0.3


def main() -> None:
    """Print rank correlation, the floor of SeLIP's targets, and which pairs lie above it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--similarity", type=Path, required=True)
    parser.add_argument("--floor-quantile", type=float, default=0.95)
    arguments = parser.parse_args()
    data = arguments.data
    split_of = {row["study_id"]: row["split"] for row in tables.read(data / "splits.parquet", SPLIT_TABLE).to_pylist()}
    pairs = tables.read(data / "texts" / "pairs.parquet", PAIRS).to_pylist()
    training = [(pair["study_id"], pair["text_id"]) for pair in pairs if split_of.get(pair["study_id"]) == "train"]
    studies, text_ids = [study for study, _ in training], np.array([text for _, text in training])

    similarity = BatchSimilarity.load(arguments.similarity, data / "texts")
    relevance = Relevance.load(data / "relevance")
    floor = similarity.off_diagonal_quantile(np.unique(text_ids), arguments.floor_quantile)
    scores, gains = similarity.block(text_ids), relevance.gain(studies, studies)
    is_abnormal = np.asarray(relevance.is_abnormal(studies))
    differ = text_ids[:, None] != text_ids[None]
    both_normal = ~is_abnormal[:, None] & ~is_abnormal[None]
    alike = differ & is_abnormal[:, None] & is_abnormal[None] & (gains > ALIKE_GAIN)
    above = differ & (scores > floor)
    print(f"{len(studies)} training studies, {len(np.unique(text_ids))} texts")
    print(f"rank correlation of S and gain: {spearmanr(scores[differ], gains[differ]).statistic:.2f}")
    print(f"floor (quantile {arguments.floor_quantile} over different texts): {floor:.2f}")
    print(f"pairs above the floor: mean gain {gains[above].mean():.2f}, both normal {both_normal[above].mean():.0%}")
    print(
        f"abnormal pairs with gain above {ALIKE_GAIN}: {alike.sum()}, mean S {scores[alike].mean():.2f}, "
        f"above the floor {(alike & above).sum() / alike.sum():.0%}"
    )


if __name__ == "__main__":
    main()
