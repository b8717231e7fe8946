"""Every table that a stage hands to another, declared once.

Ids are 16 hex digits (see ``identity``). Texts are numbered by ``text_id``, their row in
``texts.parquet``, in the order in which the reports first bring them.
"""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.tables import Contract, column

TEXT = pa.string()
INT = pa.int32()
REAL = pa.float32()
FLAG = pa.bool_()

SEQUENCES = ("T1", "T1C", "T2", "FLAIR", "DWI", "ADC", "SWI", "PD", "OTHER")
SIDES = ("left", "right", "bilateral", "midline")
SIGNALS = ("high", "low", "iso", "mixed", "null")
ASSERTIONS = ("present", "absent", "uncertain")
SPLITS = ("train", "validation", "test", "test_shifted", "test_vendor")
REPORT_STATUSES = ("used", "empty", "no_findings", "unknown_study", "unreadable_encoding", "duplicate", "uninformative")
UNITS = ("sequence", "study")
EMBEDDING_KINDS = ("image", "text", "prompt")

_STUDY = column("study_id", TEXT, "keyed hash of the accession number")
_PATIENT = column("patient_id", TEXT, "keyed hash of issuer and PatientID")
_SERIES = column("series_id", TEXT, "keyed hash of SeriesInstanceUID and what tells its parts apart")
_SIGNAL_LIST = pa.list_(pa.struct([pa.field("sequence", TEXT), pa.field("signal", TEXT)]))

LEDGER = Contract(
    "ledger",
    pa.schema(
        [
            column("path_hash", TEXT, "keyed hash of the path (archive members: archive path, '!', member path)"),
            column("extension", TEXT, "allow-listed file extension, empty otherwise"),
            column("container_hash", TEXT, "path_hash of the archive that holds the member", nullable=True),
            column("status", TEXT, "used or set_aside"),
            column("reason", TEXT, "stable code of why the file was set aside", nullable=True),
            column("message", TEXT, "fixed text for the reason", nullable=True),
            column("series_id", TEXT, "series that the file belongs to", nullable=True),
        ]
    ),
    {"status": frozenset({"used", "set_aside"})},
)

SERIES = Contract(
    "series",
    pa.schema(
        [
            _STUDY,
            _PATIENT,
            _SERIES,
            column("scanner_id", TEXT, "keyed hash of manufacturer, model, station and serial number"),
            column("vendor", TEXT, "allow-listed vendor code"),
            column("study_day", INT, "days since the patient's first study", nullable=True, unit="d"),
            column("age_years", REAL, "age at the study, capped at 89", nullable=True, unit="a"),
            column("sequence", TEXT, "identified sequence"),
            column("confidence", REAL, "confidence of the identification, 0 to 1"),
            column("sequence_by_physics", TEXT, "sequence by TE, TR, TI, b-value and contrast agent", nullable=True),
            column("sequence_by_header", TEXT, "sequence by header text", nullable=True),
            column("echo_time_ms", REAL, "echo time", nullable=True, unit="ms"),
            column("repetition_time_ms", REAL, "repetition time", nullable=True, unit="ms"),
            column("inversion_time_ms", REAL, "inversion time", nullable=True, unit="ms"),
            column("b_value_s_mm2", REAL, "diffusion weighting", nullable=True, unit="s/mm2"),
            column("field_strength_t", REAL, "magnetic field strength", nullable=True, unit="T"),
            column("orientation", TEXT, "axial, coronal, sagittal or oblique"),
            column("spacing_mm", pa.list_(REAL, 3), "voxel spacing along the axes of the NIfTI", unit="mm"),
            column("shape", pa.list_(INT, 3), "voxels along the axes of the NIfTI"),
            column("num_slices", INT, "slices that went in"),
            column("nifti", TEXT, "path of the NIfTI file below the output folder"),
            column("sha256", TEXT, "SHA-256 of the NIfTI file"),
        ]
    ),
    {"sequence": frozenset(SEQUENCES), "orientation": frozenset({"axial", "coronal", "sagittal", "oblique"})},
)

IDENTIFIERS = Contract(
    "identifiers",
    pa.schema(
        [
            _STUDY,
            column("kind", TEXT, "what the tokens were: name, birth_date, accession, institution, …"),
            column("length", INT, "tokens in the n-gram"),
            column("hmac", TEXT, "keyed hash of the normalised token n-gram"),
        ]
    ),
)

VOLUMES = Contract(
    "volumes",
    pa.schema(
        [
            _SERIES,
            _STUDY,
            _PATIENT,
            column("sequence", TEXT, "identified sequence"),
            column("is_selected", FLAG, "the one volume of its sequence that stands for it in its study"),
            column("shard", TEXT, "safetensors file below the volumes folder"),
            column("key", TEXT, "tensor name in the shard; uint8, axes R, A, S"),
            column("affine", pa.list_(pa.float64(), 16), "voxel index to patient RAS, row-major 4x4", unit="mm"),
            column("intensity_low", REAL, "scanner intensity of voxel value 0"),
            column("intensity_high", REAL, "scanner intensity of voxel value 255"),
            column("is_constant", FLAG, "the image holds one value only"),
            column("foreground_fraction", REAL, "share of voxels inside the head"),
            column("coverage", REAL, "share of the common grid that the series covers"),
            column("signal_to_noise", REAL, "median of the head over the deviation of the background", nullable=True),
            column("clipped_fraction", REAL, "share of voxels outside the intensity window"),
            column("tilt_deg", REAL, "angle between slice normal and the nearest patient axis", unit="deg"),
        ]
    ),
    {"sequence": frozenset(SEQUENCES)},
)

REPORTS = Contract(
    "reports",
    pa.schema(
        [
            column("row", INT, "row number in the input file, from 0"),
            _STUDY,
            column("status", TEXT, "what became of the report"),
            column("language", TEXT, "ISO 639-1 code", nullable=True),
            column(
                "sections",
                pa.list_(pa.struct([pa.field("name", TEXT), pa.field("text", TEXT)])),
                "scrubbed text of each section, in order",
            ),
            column("num_masked", INT, "identifier matches masked"),
        ]
    ),
    {"status": frozenset(REPORT_STATUSES)},
)

FINDINGS = Contract(
    "findings",
    pa.schema(
        [
            column("row", INT, "row number of the report in the input file"),
            _STUDY,
            column("statement", INT, "number of the statement in its report, from 0"),
            column("section", TEXT, "section that the statement stands in"),
            column("sentence", INT, "number of the sentence in its report, from 0"),
            column("start", INT, "first code point in the scrubbed section"),
            column("end", INT, "code point after the last, in the scrubbed section"),
            column("finding", TEXT, "finding code of the lexicon"),
            column("site", TEXT, "site code of the lexicon", nullable=True),
            column("side", TEXT, "left, right, bilateral or midline", nullable=True),
            column("sequence", TEXT, "sequence of the first signal", nullable=True),
            column("signal", TEXT, "signal in that sequence", nullable=True),
            column("signals", _SIGNAL_LIST, "signal in every sequence that the statement names"),
            column("assertion", TEXT, "present, absent or uncertain"),
            column("size_mm", REAL, "largest diameter", nullable=True, unit="mm"),
            column("language", TEXT, "ISO 639-1 code"),
            column("text", TEXT, "the sentence, scrubbed"),
        ]
    ),
    {"side": frozenset(SIDES), "signal": frozenset(SIGNALS), "assertion": frozenset(ASSERTIONS)},
)

TEXTS = Contract(
    "texts",
    pa.schema(
        [
            column("text_id", INT, "row in this table"),
            column("unit", TEXT, "sequence or study"),
            column("sequence", TEXT, "sequence that the text is about, for unit sequence", nullable=True),
            column("language", TEXT, "ISO 639-1 code"),
            column("row", INT, "input row of the first report with this text; its findings are the text's"),
            column("text", TEXT, "normalised text, sentences joined by a newline"),
            column("english_text", TEXT, "what an English encoder is given, sentences joined by a newline"),
            column("flipped_text_id", INT, "text with left and right exchanged (itself if it names no side)"),
            column("is_flipped", FLAG, "made by exchanging sides; no report holds it"),
            column("num_studies", INT, "studies with this text"),
        ]
    ),
    {"unit": frozenset(UNITS)},
)

PAIRS = Contract(
    "pairs",
    pa.schema(
        [
            _STUDY,
            column("sequence", TEXT, "sequence of the image, for unit sequence", nullable=True),
            column("text_id", INT, "text that describes it"),
        ]
    ),
)

PROMPTS = Contract(
    "prompts",
    pa.schema(
        [
            column("prompt_id", INT, "row in this table"),
            column("finding", TEXT, "finding code of the lexicon"),
            column("polarity", TEXT, "positive or negative"),
            column("language", TEXT, "ISO 639-1 code"),
            column("text", TEXT, "the prompt"),
        ]
    ),
    {"polarity": frozenset({"positive", "negative"})},
)

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
    column("signals", _SIGNAL_LIST, "signal in each sequence of the study"),
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
LINKED_STUDIES = Contract("linked studies", pa.schema([_STUDY, *_STUDY_COLUMNS]), {"set": frozenset(TRUTH_SETS)})
LINKED_LESIONS = Contract("linked lesions", pa.schema([_STUDY, *_LESION_COLUMNS]), _TRUTH_CODES)
LABELS = Contract(
    "labels",
    pa.schema([_STUDY, *_LABEL_COLUMNS, column("source", TEXT, "truth or mined (from the report)")]),
    {"source": frozenset({"truth", "mined"})},
)

RELEVANCE_CLASSES = Contract(
    "relevance classes",
    pa.schema(
        [
            _STUDY,
            column("relevance_class", INT, "row in gains.safetensors; studies with equal content share one"),
            column("statement_set", INT, "number of the set of statements; equal sets count as a hit"),
            column("is_abnormal", FLAG, "has at least one finding"),
            column("source", TEXT, "truth or statements"),
        ]
    ),
    {"source": frozenset({"truth", "statements"})},
)

SPLIT_TABLE = Contract(
    "splits",
    pa.schema([_STUDY, _PATIENT, column("split", TEXT, "the one split of the patient")]),
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
            column("kind", TEXT, "image, text or prompt"),
            column("row", INT, "row in the tensor `<seed>/<kind>`"),
            column("study_id", TEXT, "study of the image", nullable=True),
            column("patient_id", TEXT, "patient of the image", nullable=True),
            column("sequence", TEXT, "sequence of the image or text, for unit sequence", nullable=True),
            column("split", TEXT, "split of the image", nullable=True),
            column("text_id", INT, "text of the row, or the text that describes the image", nullable=True),
            column("prompt_id", INT, "prompt of the row", nullable=True),
        ]
    ),
    {"kind": frozenset(EMBEDDING_KINDS)},
)

_CASE_COLUMNS = [
    column("objective", TEXT, "row of the tables"),
    column("seed", INT, "seed of the pretraining"),
    column("split", TEXT, "split that is evaluated"),
    _STUDY,
    _PATIENT,
]
RETRIEVAL_CASES = Contract(
    "retrieval cases",
    pa.schema(
        [
            *_CASE_COLUMNS,
            column("direction", TEXT, "image_to_text, text_to_image or image_to_image"),
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
            column("protocol", TEXT, "zero_shot, linear_probe or supervised"),
            column("class", TEXT, "finding code"),
            column("label_fraction", REAL, "share of the training labels used", nullable=True),
            column("draw", INT, "number of the few-shot draw", nullable=True),
            column("score", REAL, "higher means present"),
            column("label", pa.int8(), "1 present, 0 absent"),
        ]
    ),
)
