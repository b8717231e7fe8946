"""Regions of the atlas, and how each study lies in it."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import INT, REAL, STUDY, TEXT
from stages.artifacts.imaging_tables import SEQUENCES
from stages.artifacts.tables import Contract, column

REGION_TABLE, REGISTRATION_TABLE, WEIGHTS = "regions.parquet", "registrations.parquet", "weights.safetensors"
# uint8, shape (studies, regions, patches in row-major order of their grid): share of a patch in a region, times 255.
WEIGHT_KEY = "weight_NRP"

OK, NO_VOLUME, IMPLAUSIBLE = STATUSES = ("ok", "no_volume", "implausible")

REGIONS = Contract(
    "regions",
    pa.schema(
        [
            column("number", INT, "row of the region in the weights"),
            column("name", TEXT, "side and site, the site alone where it is not divided"),
            column("site", TEXT, "site code of the lexicon"),
            column("side", TEXT, "left or right of the patient, empty where the site is not divided", nullable=True),
        ]
    ),
    {"side": frozenset({"left", "right"})},
)

REGISTRATIONS = Contract(
    "registrations",
    pa.schema(
        [
            STUDY,
            column("status", TEXT, f"{OK}, {NO_VOLUME} or {IMPLAUSIBLE}; only {OK} has weights that are not 0"),
            column("sequence", TEXT, "sequence of the volume that was registered", nullable=True),
            column("metric", REAL, "mutual information with the template", nullable=True, unit="nat"),
            column("overlap", REAL, "share of the template's brain that the volume covers", nullable=True),
            column("determinant", REAL, "template volume over patient volume", nullable=True),
            # of no fixed length: pyarrow 25 cannot read a null of a list of fixed length back from Parquet
            column("affine", pa.list_(pa.float64()), "patient RAS to MNI, row-major 4x4", nullable=True, unit="mm"),
        ]
    ),
    {"status": frozenset(STATUSES), "sequence": frozenset(SEQUENCES)},
)
