"""Tables of audits: what splits share, and what in-batch negatives are."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import FLAG, INT, REAL, TEXT
from stages.artifacts.tables import Contract, column

LEAKAGE_CHECKS = ("moved_studies", "shared_patients", "shared_images", "exact_texts", "near_texts")

LEAKAGE = Contract(
    "leakage",
    pa.schema(
        [
            column("check", TEXT, "what is counted"),
            column("split", TEXT, "split that is compared with training, or all"),
            column("count", INT, "studies, patients, images or texts that splits share"),
            column("out_of", INT, "how many there are"),
            column("is_gate", FLAG, "a count above 0 stops the pipeline"),
        ]
    ),
    {"check": frozenset(LEAKAGE_CHECKS)},
)

#: how a negative is told: it has no share of the target, or less than chance gives it
NEGATIVE_RULES = ("no_share", "below_chance")

NEGATIVES = Contract(
    "negatives",
    pa.schema(
        [
            column("objective", TEXT, "row of the tables"),
            column("seed", INT, "seed of the pretraining"),
            column("threshold", REAL, "similarity of near-duplicates, at least; empty: the same text", nullable=True),
            column("rule", TEXT, "no_share: no share of the target; below_chance: less than one over the batch"),
            column("num_pairs", pa.int64(), "pairs of an image and the text of another image, over all batches"),
            column("num_negatives", pa.int64(), "pairs that the objective pushes apart"),
            column("num_near_duplicates", pa.int64(), "of these, pairs whose text nearly repeats the image's own"),
            column("share", REAL, "near-duplicates among the negatives", nullable=True),
            column("target_share", REAL, "mean share of an image's target on near-duplicates of other images"),
        ]
    ),
    {"rule": frozenset(NEGATIVE_RULES)},
)
