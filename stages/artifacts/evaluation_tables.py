"""Tables of evaluations, a row per case."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import FLAG, INT, PATIENT, REAL, STUDY, TEXT
from stages.artifacts.tables import Contract, column

_CASE_COLUMNS = [
    column("objective", TEXT, "row of the tables"),
    column("seed", INT, "seed of the pretraining"),
    column("split", TEXT, "split that is evaluated"),
    STUDY,
    PATIENT,
]

RETRIEVAL_CASES = Contract(
    "retrieval cases",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column(
                "direction", TEXT, "image_to_text, text_to_image or image_to_image; category_ before it: by finding"
            ),
            column("class", TEXT, "finding that a category query asks for", nullable=True),
            column("language", TEXT, "language of the study's report", nullable=True),
            column("is_abnormal", FLAG, "the study has at least one finding"),
            column("metric", TEXT, "name of the metric"),
            column("value", REAL, "value for the query"),
        ]
    ),
)

CLASSIFICATION_CASES = Contract(
    "classification cases",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column("protocol", TEXT, "zero_shot, linear_probe, fine_tuning or supervised"),
            column("class", TEXT, "finding code, or the name of a two-class task"),
            column("label_fraction", REAL, "share of the training labels used", nullable=True),
            column("shots", INT, "labelled patients of each label and class, where they are counted", nullable=True),
            column("draw", INT, "number of the few-shot draw", nullable=True),
            column("score", REAL, "higher means present"),
            column("label", pa.int8(), "1 present, 0 absent"),
        ]
    ),
)

REGION_CASES = Contract(
    "region cases",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column("class", TEXT, "finding code"),
            column("region", TEXT, "region of the atlas that the image shows"),
            column("score", REAL, "higher means that the finding lies there"),
            column("label", pa.int8(), "1 if it does, 0 if it does not"),
        ]
    ),
)

MEASURE_CASES = Contract(
    "measure cases",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column("metric", TEXT, "name of the metric"),
            column("class", TEXT, "finding code, or `all`"),
            column("label_fraction", REAL, "share of the training masks used", nullable=True),
            column("value", REAL, "value for the case"),
        ]
    ),
)

VQA_ANSWERS = Contract(
    "answers",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column("question", TEXT, "kind of question"),
            column("finding", TEXT, "finding that it asks about"),
            column("sequence", TEXT, "sequence that it names", nullable=True),
            column("phrase_id", INT, "its wording in phrases.parquet"),
            column("answer", TEXT, "true answer"),
            column("predicted", TEXT, "answer given"),
        ]
    ),
)

GENERATED_TEXTS = Contract(
    "generated texts",
    pa.schema(
        [
            column("objective", TEXT, "row of the tables"),
            column("seed", INT, "seed of the pretraining"),
            column("split", TEXT, "split that is evaluated"),
            STUDY,
            column("kind", TEXT, "who wrote it: decoder, nearest, or a writer of the method's own"),
            column("sequence", TEXT, "sequence of the image, for unit sequence", nullable=True),
            column("text_id", INT, "the study's own report"),
            column("text", TEXT, "what was written, a sentence a line"),
        ]
    ),
)
