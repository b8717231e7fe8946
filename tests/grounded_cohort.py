"""The cohort of pretraining with statements, lesion masks and untrained encoders: what grounding reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pretraining_cohort import NORMAL, SEQUENCES, SHAPE, WIDTH, write_cohort
from ruamel.yaml import YAML

from stages.artifacts import cohort_tables, mask_tables, report_tables, tables, tensors
from stages.imaging.shards import VolumeStore
from stages.pretraining.encoders import ImageEncoderParams
from stages.pretraining.export import export_encoders
from stages.pretraining.pairs import load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.text_tower import TextTowerParams
from stages.pretraining.towers import TowerConfig, build_towers

# Texts of this kind state their lesion with doubt, so that no sentence states it as present.
DOUBTFUL = 4
# Lesions of this kind have a second one of a finding without prompts.
TWOFOLD = 5


@dataclass(frozen=True)
class GroundedCohort:
    """Paths of a cohort on disk."""

    root: Path

    @property
    def inputs(self) -> dict[str, Path]:
        """Options that the localisation stages share."""
        return {
            "volumes": self.root / "volumes",
            "texts": self.root / "texts",
            "findings": self.root / "findings.parquet",
            "splits": self.root / "splits.parquet",
            "masks": self.root / "masks",
            "params": self.root / "params.yaml",
        }


def write_grounded(
    root: Path, unit: str = "study", *, has_masks: bool = True, finding: str = "infarct"
) -> GroundedCohort:
    """Write everything but the models."""
    write_cohort(root, unit)
    pairs = tables.read(root / "texts/pairs.parquet", report_tables.PAIRS).to_pylist()
    kinds = {pair["study_id"]: pair["text_id"] for pair in pairs}
    _write_statements(root)
    _write_masks(root / "masks", kinds if has_masks else {}, finding)
    write_params(root / "params.yaml")
    return GroundedCohort(root)


def write_params(path: Path, **values) -> None:
    """Write the sections of grounding; values replace those of draw_saliency."""
    shared = {
        "splits": ["test"], "prompt_score": "positive", "min_covered": 0.25, "size_bounds_ml": [0.02, 0.06],
        "batch_size": 3, "num_threads": 1, "max_resident_gib": 1.0,
    }  # fmt: skip
    drawn = {
        "publish_examples": False, "objectives": ["clip", "selip", "absent", "supervised"], "seed": 0,
        "split": "test", "findings": ["infarct", "cyst", "mass"], "backgrounds": ["FLAIR", "T1"],
    }  # fmt: skip
    sections = {
        "evaluate_localisation": shared,
        "draw_saliency": drawn | values,
        "objectives": {name: {} for name in ("clip", "selip", "supervised")},
        "tabulate_results": {"simulated_folder": str(path.parent)},
    }
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(sections, file)


def export_model(root: Path, name: str, *, unit: str = "study", seeds=(0, 1), aligns_text: bool = True) -> Path:
    """Export encoders as they are drawn."""
    folder = root / "models" / name
    config = TowerConfig(
        unit=unit,
        sequences=SEQUENCES,
        shape=list(SHAPE),
        embedding_dim=16,
        frozen_width=WIDTH,
        projection="linear",
        image=ImageEncoderParams(stem_width=8, fine_width=16, width=32),
        text=TextTowerParams(),
        classes=[],
        aligns_text=aligns_text,
    )
    for seed in seeds:
        export_encoders(folder, build_towers(config, seed), seed)
    store = VolumeStore(root / "volumes")
    images = load_images(store.table, root / "texts", root / "splits.parquet", SEQUENCES, "study")
    Standardiser.fit(_read(store, images.series), (len(SEQUENCES), *SHAPE)).save(folder)
    return folder


def lesion(kind: int) -> np.ndarray:
    """Voxels of the blob of a kind, as the cohort of pretraining draws it."""
    side, site = kind % 2, kind // 2
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4 * side : 4 * side + 4, 3 * site : 3 * site + 3, 2:6] = True
    return mask


def splits_of(root: Path) -> dict[str, str]:
    """Split of each study."""
    rows = tables.read(root / "splits.parquet", cohort_tables.SPLIT_TABLE).to_pylist()
    return {row["study_id"]: row["split"] for row in rows}


def _read(store, series):
    for own in series:
        image, is_present = np.zeros((len(SEQUENCES), *SHAPE), np.uint8), np.zeros(len(SEQUENCES), bool)
        for number, series_id in own.items():
            image[number], is_present[number] = store.read(series_id), True
        yield image, is_present


def _write_statements(root: Path) -> None:
    """One statement a kind, in the only line of its text; the normal text has two lines and one statement."""
    rows = [
        {
            "row": kind, "study_id": f"{kind:016x}", "statement": 0, "section": "findings", "sentence": 0, "start": 0,
            "end": 4, "finding": "normal" if kind == NORMAL else "infarct", "signals": [], "language": "en",
            "assertion": "uncertain" if kind == DOUBTFUL else "present", "text": f"text {kind}",
        }
        for kind in range(NORMAL + 1)
    ]  # fmt: skip
    tables.write(root / "findings.parquet", tables.from_rows(report_tables.FINDINGS, rows), report_tables.FINDINGS)
    path = root / "texts/embeddings.safetensors"
    counts = [0, *range(1, NORMAL + 2)]
    index = {
        "sentence_lines": np.array([*([0] * NORMAL), 0, 1], dtype=np.int32),
        "statement_offsets": np.array(counts, dtype=np.int64),
        "statement_rows": np.arange(NORMAL + 1, dtype=np.int32),
        "statement_lines": np.array([*([0] * NORMAL), 1], dtype=np.int32),
    }
    tensors.write(path, tensors.read(path) | index)


def _write_masks(folder: Path, kinds: dict[str, int], finding: str) -> None:
    maps, rows = {}, []
    for study_id, kind in kinds.items():
        if kind == NORMAL:
            continue
        maps[study_id] = lesion(kind).astype(np.uint8)
        rows.append(_mask_row(study_id, finding, 1, int(lesion(kind).sum())))
        if kind == TWOFOLD:
            maps[study_id][0, 0, 0] = 2
            rows.append(_mask_row(study_id, "cyst", 2, 1))
    tensors.write(folder / mask_tables.MASK_MAPS, maps)
    table = tables.from_rows(mask_tables.MASKS, rows)
    tables.write(folder / mask_tables.MASK_TABLE, table, mask_tables.MASKS)


def _mask_row(study_id: str, finding: str, label: int, size: int) -> dict[str, object]:
    return {
        "study_id": study_id,
        "lesion": label - 1,
        "finding": finding,
        "label": label,
        "num_voxels": size,
        "volume_ml": size / 1000,
    }
