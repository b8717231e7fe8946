"""Tables of extraction: what reports say of other times, and how well statements are read."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import ASSERTIONS, INT, REAL, SIDES, STUDY, TEXT
from stages.artifacts.tables import Contract, column

#: how a finding has changed since an earlier examination
COURSES = ("new", "unchanged", "progressed", "regressed", "resolved")

#: a finding of the past, of an earlier examination, or the cause of another; or one that is only denied to be new
REFERENCES = ("history", "comparison", "cause", "not_new")

MENTIONS = Contract(
    "mentions",
    pa.schema(
        [
            column("row", INT, "number of the report, as in reports.parquet"),
            STUDY,
            column("kind", TEXT, "course of a statement, or why a finding makes no statement"),
            column("statement", INT, "number in findings.parquet of the statement whose course it is", nullable=True),
            column("section", TEXT, "section that it stands in"),
            column(
                "sentence",
                INT,
                "number of the sentence in its report (history, comparison: in its section)",
            ),
            column("start", INT, "first code point in the scrubbed section"),
            column("end", INT, "code point after the last, in the scrubbed section"),
            column("finding", TEXT, "finding code of the lexicon"),
            column("site", TEXT, "site code of the lexicon", nullable=True),
            column("side", TEXT, "left, right, bilateral or midline", nullable=True),
            column("size_mm", REAL, "largest diameter at the earlier examination", nullable=True, unit="mm"),
        ]
    ),
    {"kind": frozenset(COURSES + REFERENCES), "side": frozenset(SIDES)},
)

GOLD_PARTS = ("seen", "held_out")
ASPECTS = ("statements", "signals", "sizes")

SCORES = Contract(
    "scores",
    pa.schema(
        [
            column("language", TEXT, "ISO 639-1 code"),
            column("part", TEXT, "seen: rules were written with these passages; held_out: without"),
            column("aspect", TEXT, "statements with their places, signals by sequence, or sizes"),
            column("finding", TEXT, "finding code of the lexicon; empty: all", nullable=True),
            column("assertion", TEXT, "present, absent or uncertain; empty: all", nullable=True),
            column("num_passages", INT, "passages of this language and part"),
            column("true_positives", INT, "read as annotated"),
            column("false_positives", INT, "read, not annotated"),
            column("false_negatives", INT, "annotated, not read"),
            column("precision", REAL, "share of what is read that is annotated", nullable=True),
            column("recall", REAL, "share of what is annotated that is read", nullable=True),
            column("f1", REAL, "harmonic mean of precision and recall", nullable=True),
            column("f1_low", REAL, "lower end of the 95 % bootstrap interval over passages", nullable=True),
            column("f1_high", REAL, "upper end", nullable=True),
        ]
    ),
    {"part": frozenset(GOLD_PARTS), "aspect": frozenset(ASPECTS), "assertion": frozenset(ASSERTIONS)},
)
