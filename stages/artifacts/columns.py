"""Column types and codes that several tables share. Ids are 16 hex digits (see ``identity``)."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.tables import column

TEXT = pa.string()

INT = pa.int32()

REAL = pa.float32()

FLAG = pa.bool_()

SIDES = ("left", "right", "bilateral", "midline")

SIGNALS = ("high", "low", "iso", "mixed", "null")

ASSERTIONS = ("present", "absent", "uncertain")

STUDY = column("study_id", TEXT, "keyed hash of the accession number")

PATIENT = column("patient_id", TEXT, "keyed hash of issuer and PatientID")

SERIES_ID = column("series_id", TEXT, "keyed hash of SeriesInstanceUID and what tells its parts apart")

SIGNAL_LIST = pa.list_(pa.struct([pa.field("sequence", TEXT), pa.field("signal", TEXT)]))
