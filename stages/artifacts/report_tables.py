"""Tables of reports, findings and texts. Texts are numbered by ``text_id``, their row in ``texts.parquet``."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import ASSERTIONS, FLAG, INT, REAL, SIDES, SIGNAL_LIST, SIGNALS, STUDY, TEXT
from stages.artifacts.tables import Contract, column

REPORT_STATUSES = (
    *("used", "empty", "no_findings", "unknown_study", "unreadable_encoding", "duplicate", "uninformative"),
    *("unreadable", "not_report", "cancelled", "superseded", "appended", "other_examination", "unsupported_language"),
)

UNITS = ("sequence", "study")

REPORTS = Contract(
    "reports",
    pa.schema(
        [
            column("row", INT, "number of the report, from 0; a record of several studies gives a report for each"),
            column("record", INT, "number of the record in the input, from 0", nullable=True),
            STUDY,
            column("status", TEXT, "what became of the report"),
            column("version", TEXT, "what its source says that it is: preliminary, final, corrected …", nullable=True),
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
            column("row", INT, "number of the report, as in reports.parquet"),
            STUDY,
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
            column("signals", SIGNAL_LIST, "signal in every sequence that the statement names"),
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
            column("row", INT, "number of the first report with this text; its findings are the text's"),
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
            STUDY,
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
            column("polarity", TEXT, "positive or negative, or query: it asks for the category"),
            column("language", TEXT, "ISO 639-1 code"),
            column("text", TEXT, "the prompt"),
        ]
    ),
    {"polarity": frozenset({"positive", "negative", "query"})},
)

PHRASE_KINDS = ("definition", "name", "question")

PHRASES = Contract(
    "phrases",
    pa.schema(
        [
            column("phrase_id", INT, "row in this table"),
            column("kind", TEXT, "definition or name of a finding, or a question"),
            column("finding", TEXT, "finding code of the lexicon", nullable=True),
            column("question", TEXT, "kind of question", nullable=True),
            column("site", TEXT, "site that a question names", nullable=True),
            column("side", TEXT, "side that a question names", nullable=True),
            column("sequence", TEXT, "sequence that a question names", nullable=True),
            column("wording", INT, "number of the wording of a question, from 0", nullable=True),
            column("is_held_out", FLAG, "a wording that no answering may be trained with"),
            column("language", TEXT, "ISO 639-1 code"),
            column("text", TEXT, "the phrase"),
        ]
    ),
    {"kind": frozenset(PHRASE_KINDS), "side": frozenset(SIDES)},
)
