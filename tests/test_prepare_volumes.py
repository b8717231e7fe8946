"""The stage on a small converted cohort."""

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from stages.artifacts import imaging_tables, tables
from stages.imaging.shards import VolumeStore
from stages.prepare_volumes import main


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    folder = tmp_path / "converted"
    (folder / "nifti").mkdir(parents=True)
    rows = []
    for number, sequence in enumerate(["T1", "T2", "T2", "FLAIR"]):
        voxels = np.zeros((30, 36, 12), dtype=np.int16)
        voxels[5:25, 5:30, 2:10] = rng.integers(200, 400, (20, 25, 8))
        path = folder / "nifti" / f"{number}.nii.gz"
        nib.save(nib.Nifti1Image(voxels, np.diag([6.0, 6.0, 12.0, 1.0])), path)
        rows.append(
            {
                "study_id": f"{'ab'[number // 3]}" + "0" * 15,
                "patient_id": "c" * 16,
                "series_id": f"{number:016x}",
                "scanner_id": "d" * 16,
                "vendor": "GE",
                "sequence": sequence,
                "confidence": 1.0,
                "orientation": "axial",
                "spacing_mm": [6.0, 6.0, 12.0],
                "shape": [30, 36, 12],
                "num_slices": 12,
                "nifti": f"nifti/{number}.nii.gz",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }  # fmt: skip
        )
    tables.write(folder / "series.parquet", tables.from_rows(imaging_tables.SERIES, rows), imaging_tables.SERIES)
    return folder


def test_the_stage_writes_table_shards_and_pictures(tmp_path: Path, converted: Path) -> None:
    out = tmp_path / "volumes"
    main(converted, out, tmp_path / "work")

    store = VolumeStore(out)
    rows = store.table.to_pylist()
    assert len(rows) == 4
    assert sum(row["is_selected"] for row in rows if row["sequence"] == "T2") == 1
    assert sum(row["is_selected"] for row in rows) == 3
    assert {row["shard"] for row in rows} == {"shards/a.safetensors", "shards/b.safetensors"}
    assert all(store.read(row["series_id"]).max() > 200 for row in rows)
    assert sorted(path.name for path in (out / "qc").iterdir()) == ["a" + "0" * 15 + ".png", "b" + "0" * 15 + ".png"]
    with pytest.raises(KeyError, match="no series"):
        store.read("f" * 16)


def test_the_stage_repeats_itself_to_the_byte(tmp_path: Path, converted: Path) -> None:
    for name in ("first", "second"):
        main(converted, tmp_path / name, tmp_path / f"work_{name}")
    written = sorted(path for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert len(written) == 5
    for path in written:
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


def test_a_cohort_without_images_gives_empty_outputs(tmp_path: Path) -> None:
    tables.write(tmp_path / "series.parquet", tables.from_rows(imaging_tables.SERIES, []), imaging_tables.SERIES)
    main(tmp_path, tmp_path / "volumes", tmp_path / "work")
    assert len(VolumeStore(tmp_path / "volumes").table) == 0
    assert (tmp_path / "volumes" / "shards").is_dir()
    assert (tmp_path / "volumes" / "qc").is_dir()
