"""Tables of splits, cohort flow and embeddings."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import INT, PATIENT, STUDY, TEXT
from stages.artifacts.tables import Contract, column

SPLITS = ("train", "validation", "test", "test_shifted", "test_vendor")

EMBEDDING_KINDS = ("image", "text", "prompt", "view", "transfer")

SPLIT_TABLE = Contract(
    "splits",
    pa.schema([STUDY, PATIENT, column("split", TEXT, "the one split of the patient")]),
    {"split": frozenset(SPLITS)},
)

FLOW = Contract(
    "cohort flow",
    pa.schema(
        [
            column("level", TEXT, "files, series, studies, pairs or splits"),
            column("group", TEXT, "used, or the reason for the loss"),
            column("count", pa.int64(), "how many"),
        ]
    ),
)

EMBEDDING_INDEX = Contract(
    "embedding index",
    pa.schema(
        [
            column("kind", TEXT, "image, text, prompt, view (an image without a sequence) or transfer"),
            column("row", INT, "row in the tensor `<seed>/<kind>`"),
            column("study_id", TEXT, "study of the image", nullable=True),
            column("patient_id", TEXT, "patient of the image", nullable=True),
            column(
                "sequence",
                TEXT,
                "of an image or text of unit sequence its own, of a view the withheld one, of a transfer the only one",
                nullable=True,
            ),
            column("split", TEXT, "split of the image", nullable=True),
            column("text_id", INT, "text of the row, or the text that describes the image", nullable=True),
            column("prompt_id", INT, "prompt of the row", nullable=True),
        ]
    ),
    {"kind": frozenset(EMBEDDING_KINDS)},
)
