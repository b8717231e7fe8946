"""An atlas drawn by hand, and truth that places lesions in it, for the cohort of pretraining."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from pretraining_cohort import NORMAL, NUM_SITES, SHAPE, SIDES

from stages.artifacts import atlas_tables, report_tables, tables, tensors, truth_tables
from stages.imaging.region_store import Region

SITES = ["frontal_lobe", "parietal_lobe", "temporal_lobe", "occipital_lobe"]
GRID = (2, 3, 2)
REGIONS = [
    *(
        Region(number, f"{side} {site}", site, side)
        for number, (site, side) in enumerate((site, side) for site in SITES for side in SIDES)
    ),
    Region(2 * NUM_SITES, "whole_brain", "whole_brain", None),
]


def weights() -> np.ndarray:
    """Share of each patch in each region, a site a quarter of the length; shape (R, P)."""
    share_RP = np.ones((len(REGIONS), *GRID), dtype=np.float32)
    edge = SHAPE[1] // GRID[1]
    for number, region in enumerate(REGIONS[:-1]):
        first = 3 * SITES.index(region.site)
        covered = [len(set(range(first, first + 3)) & set(range(edge * p, edge * p + edge))) for p in range(GRID[1])]
        share_RP[number] = np.array(covered)[None, :, None] / edge
        share_RP[number, 1 - SIDES.index(region.side)] = 0
    return share_RP.reshape(len(REGIONS), -1)


def write_atlas(folder: Path, study_ids, *, implausible=()) -> None:
    """Write what ``register_atlas`` does, every study in the same place."""
    regions = tables.from_rows(atlas_tables.REGIONS, map(asdict, REGIONS))
    tables.write(folder / atlas_tables.REGION_TABLE, regions, atlas_tables.REGIONS)
    status = {study_id: "implausible" if study_id in implausible else "ok" for study_id in study_ids}
    rows = [{"study_id": study_id, "status": one} for study_id, one in status.items()]
    registrations = tables.from_rows(atlas_tables.REGISTRATIONS, rows)
    tables.write(folder / atlas_tables.REGISTRATION_TABLE, registrations, atlas_tables.REGISTRATIONS)
    weight_NRP = np.stack([np.rint(255 * weights()) * (one == "ok") for one in status.values()]).astype(np.uint8)
    about = {"patch_size": SHAPE[0] // GRID[0], "grid": list(GRID)}
    tensors.write(folder / atlas_tables.WEIGHTS, {atlas_tables.WEIGHT_KEY: weight_NRP}, about)


def write_truth(folder: Path, kinds: dict[str, int]) -> None:
    """Write where the blob of each study lies; the normal kind has none."""
    studies = [{"study_id": s, "set": "development", "is_normal": kind == NORMAL} for s, kind in kinds.items()]
    lesions = [
        {
            "study_id": study_id, "lesion": 0, "finding": "infarct", "subtype": "acute infarct",
            "site": SITES[kind // 2], "side": SIDES[kind % 2], "size_mm": 9.0, "volume_ml": 1.0, "signals": [],
            "template_voxels": [], "template_shape": [4, 4, 4],
        }
        for study_id, kind in kinds.items()
        if kind != NORMAL
    ]  # fmt: skip
    for name, contract, rows in (
        ("studies.parquet", truth_tables.LINKED_STUDIES, studies),
        ("lesions.parquet", truth_tables.LINKED_LESIONS, lesions),
    ):
        tables.write(folder / name, tables.from_rows(contract, rows), contract)


def kinds_of(root: Path) -> dict[str, int]:
    """Kind of each study with a text."""
    pairs = tables.read(root / "texts/pairs.parquet", report_tables.PAIRS).to_pylist()
    return {pair["study_id"]: pair["text_id"] for pair in pairs}
