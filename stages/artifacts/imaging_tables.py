"""Tables of DICOM conversion and volume preparation."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import FLAG, INT, PATIENT, REAL, SERIES_ID, STUDY, TEXT
from stages.artifacts.tables import Contract, column

SEQUENCES = ("T1", "T1C", "T2", "FLAIR", "DWI", "ADC", "SWI", "PD", "OTHER")

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
            STUDY,
            PATIENT,
            SERIES_ID,
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
            STUDY,
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
            SERIES_ID,
            STUDY,
            PATIENT,
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
