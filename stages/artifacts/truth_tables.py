"""Tables of what a cohort knows of its studies, by accession number (``cohort.truth``) and by study."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import FLAG, INT, REAL, SIDES, SIGNAL_LIST, STUDY, TEXT
from stages.artifacts.tables import Contract, column

# What a cohort may know about its studies, keyed by accession number (`cohort.truth`), and the
# same keyed by study (`link_truth`).
TRUTH_SETS = ("development", "test", "shifted")

_LESION_COLUMNS = [
    column("lesion", INT, "number of the lesion in its study, from 0"),
    column("finding", TEXT, "finding code of the lexicon"),
    column("subtype", TEXT, "finding subtype, e.g. acute infarct"),
    column("site", TEXT, "site code of the lexicon", nullable=True),
    column("side", TEXT, "left, right, bilateral or midline", nullable=True),
    column("size_mm", REAL, "largest diameter", unit="mm"),
    column("volume_ml", REAL, "volume", unit="mL"),
    column("signals", SIGNAL_LIST, "signal in each sequence of the study"),
    column("template_voxels", pa.list_(INT), "voxels covered in template space, flat index into template_shape"),
    column("template_shape", pa.list_(INT, 3), "shape of the template grid that template_voxels index"),
]

_STUDY_COLUMNS = [
    column("set", TEXT, "development, test or shifted"),
    column("is_normal", FLAG, "no finding"),
    column("reader", TEXT, "who wrote the report (a style)", nullable=True),
]

_LABEL_COLUMNS = [
    column("finding", TEXT, "finding code of the lexicon"),
    column("label", pa.int8(), "1 present, 0 absent, empty where not known", nullable=True),
]

_ACCESSION = column("accession_number", TEXT, "accession number of the study, as in the cohort")

_TRUTH_CODES = {"side": frozenset(SIDES)}

TRUTH_STUDIES = Contract("truth studies", pa.schema([_ACCESSION, *_STUDY_COLUMNS]), {"set": frozenset(TRUTH_SETS)})

TRUTH_LESIONS = Contract("truth lesions", pa.schema([_ACCESSION, *_LESION_COLUMNS]), _TRUTH_CODES)

TRUTH_LABELS = Contract("truth labels", pa.schema([_ACCESSION, *_LABEL_COLUMNS]))

LINKED_STUDIES = Contract("linked studies", pa.schema([STUDY, *_STUDY_COLUMNS]), {"set": frozenset(TRUTH_SETS)})

LINKED_LESIONS = Contract("linked lesions", pa.schema([STUDY, *_LESION_COLUMNS]), _TRUTH_CODES)

LABELS = Contract(
    "labels",
    pa.schema([STUDY, *_LABEL_COLUMNS, column("source", TEXT, "truth or mined (from the report)")]),
    {"source": frozenset({"truth", "mined"})},
)

RELEVANCE_CLASSES = Contract(
    "relevance classes",
    pa.schema(
        [
            STUDY,
            column("relevance_class", INT, "row in gains.safetensors; studies with equal content share one"),
            column("statement_set", INT, "number of the set of statements; equal sets count as a hit"),
            column("is_abnormal", FLAG, "has at least one finding"),
            column("source", TEXT, "truth or statements"),
        ]
    ),
    {"source": frozenset({"truth", "statements"})},
)
