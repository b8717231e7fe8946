"""Masks of a cohort from its entry point: keyed by study, on the grid, bad files counted."""

import nibabel as nib
import numpy as np
import pytest
from pretraining_cohort import SHAPE, write_cohort

from stages import prepare_masks
from stages.artifacts import imaging_tables, mask_tables, tables, tensors, truth_tables
from stages.artifacts.identity import SiteKey, write_new_key

ACCESSIONS = ("A1", "A2", "A3", "A4", "A5", "A6")


@pytest.fixture
def site(tmp_path):
    """A cohort whose first studies carry the ids of accession numbers, with its truth and an empty folder of masks."""
    cohort = write_cohort(tmp_path / "c")
    write_new_key(tmp_path / "site.key")
    key = SiteKey.load(tmp_path / "site.key")
    path = cohort.root / "volumes" / "volumes.parquet"
    rows = tables.read(path, imaging_tables.VOLUMES).to_pylist()
    studies = list(dict.fromkeys(row["study_id"] for row in rows))
    renamed = {old: key.study_id(name) for old, name in zip(studies, ACCESSIONS, strict=False)}
    rows = [row | {"study_id": renamed.get(row["study_id"], row["study_id"])} for row in rows]
    tables.write(path, tables.from_rows(imaging_tables.VOLUMES, rows), imaging_tables.VOLUMES)
    _write_truth(tmp_path / "truth", key)
    (tmp_path / "masks").mkdir()
    return tmp_path, key


def _write_truth(folder, key):
    lesion = {
        "study_id": key.study_id("A1"), "lesion": 0, "finding": "infarct", "subtype": "acute infarct", "size_mm": 3.0,
        "volume_ml": 1.0, "signals": [], "template_voxels": [], "template_shape": [1, 1, 1],
    }  # fmt: skip
    contract = truth_tables.LINKED_LESIONS
    tables.write(folder / "lesions.parquet", tables.from_rows(contract, [lesion]), contract)
    studies = [{"study_id": key.study_id(name), "set": "development", "is_normal": name == "A6"} for name in ACCESSIONS]
    contract = truth_tables.LINKED_STUDIES
    tables.write(folder / "studies.parquet", tables.from_rows(contract, studies), contract)


def save(folder, name, labels, offset_mm=0.0):
    affine = np.eye(4)
    affine[:3, 3] = offset_mm
    nib.save(nib.Nifti1Image(labels, affine), folder / "masks" / f"{name}.nii.gz")


def run(folder, site_key="site.key"):
    prepare_masks.main(folder / "masks", folder / site_key, folder / "c" / "volumes", folder / "truth", folder / "out")
    path = folder / "out"
    maps = tensors.read(path / mask_tables.MASK_MAPS)
    return tables.read(path / mask_tables.MASK_TABLE, mask_tables.MASKS).to_pylist(), maps


def blocks():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 1:3, 1:3], labels[5, 5, 5] = 1, 2
    return labels


def test_masks_are_keyed_by_study_and_named_by_the_truth(site):
    folder, key = site
    save(folder, "A1", blocks())
    rows, maps = run(folder)
    np.testing.assert_array_equal(maps[key.study_id("A1")], blocks())
    assert not maps[key.study_id("A6")].any()  # normal by the truth, so it needs no file
    assert set(maps) == {key.study_id("A1"), key.study_id("A6")}
    about = [(row["lesion"], row["finding"], row["label"], row["num_voxels"]) for row in rows]
    assert about == [(0, "infarct", 1, 8), (None, "lesion", 2, 1)]
    assert rows[0]["volume_ml"] == pytest.approx(0.008)
    assert tensors.read_metadata(folder / "out" / mask_tables.MASK_MAPS) == {"spacing_mm": [1.0, 1.0, 1.0]}


def test_bad_files_cost_themselves_and_are_counted_in_one_line(site, caplog):
    folder, key = site
    caplog.set_level("INFO")
    save(folder, "A1", blocks())
    save(folder, "unknown", blocks())
    save(folder, "A2", blocks(), offset_mm=900.0)
    save(folder, "A3", np.full(SHAPE, 0.5, np.float32))
    (folder / "masks" / "A4.nii.gz").write_bytes(b"no image")
    save(folder, "A5", np.zeros(SHAPE, np.uint8))
    rows, maps = run(folder)
    assert {row["study_id"] for row in rows} == {key.study_id("A1")}
    assert set(maps) == {key.study_id(name) for name in ("A1", "A5", "A6")}
    [line] = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    for part in ("1 of no study", "1 without a lesion inside the grid", "2 unreadable"):
        assert part in line
    assert not any(name in caplog.text for name in (*ACCESSIONS, "unknown", *maps))


@pytest.mark.parametrize("has_key", [True, False])
def test_without_masks_or_key_the_outputs_are_empty(site, caplog, has_key):
    folder, _ = site
    caplog.set_level("INFO")
    if not has_key:
        save(folder, "A1", blocks())
    rows, maps = run(folder, "site.key" if has_key else "no.key")
    assert rows == []
    assert maps == {}
    assert ("no usable masks" if has_key else "no site key") in caplog.text
