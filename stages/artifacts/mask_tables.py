"""Table of lesion masks on the grid of the prepared volumes, a row for every lesion that has one."""

from __future__ import annotations

import pyarrow as pa

from stages.artifacts.columns import INT, REAL, STUDY, TEXT
from stages.artifacts.tables import Contract, column

MASK_TABLE, MASK_MAPS = "masks.parquet", "masks.safetensors"

# What stands for the finding of a lesion that the truth does not name.
UNNAMED_FINDING = "lesion"

MASKS = Contract(
    "masks",
    pa.schema(
        [
            STUDY,
            column("lesion", INT, "number of the lesion in the truth, empty where it has none", nullable=True),
            column("finding", TEXT, f"finding code of the lexicon, `{UNNAMED_FINDING}` where the truth names none"),
            column("label", INT, "value of the lesion in the label map of its study"),
            column("num_voxels", INT, "voxels of the prepared grid that it fills, at least 1"),
            column("volume_ml", REAL, "their volume", unit="mL"),
        ]
    ),
)
