import csv
import gzip
import hashlib
import io
import zipfile
from collections import defaultdict
from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from ruamel.yaml import YAML

from stages import simulate_cohort
from stages.artifacts import tables
from stages.artifacts.identity import SiteKey
from stages.artifacts.truth_tables import TRUTH_LABELS, TRUTH_LESIONS, TRUTH_STUDIES
from stages.params import DEFAULT_PATH, load
from stages.simulation.anatomy import load_template
from stages.simulation.archive import study_archive
from stages.simulation.cohort import CohortParams, StudyKey, draw_visit
from stages.simulation.patient import draw_patient
from stages.simulation.truth_tables import TRUTH_SHAPE, mask_file


@pytest.fixture(scope="module")
def params_path(tmp_path_factory):
    yaml = YAML(typ="safe")
    values = yaml.load(DEFAULT_PATH)
    values["simulate_cohort"] |= {"num_development": 3, "num_test": 2, "num_shifted": 1}
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    yaml.dump(values, path)
    return path


@pytest.fixture(scope="module")
def cohort(params_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort")
    simulate_cohort.main(out, params_path, jobs=1)
    return out


@pytest.fixture(scope="module")
def params():
    return load("simulate_cohort", CohortParams)


@pytest.fixture(scope="module")
def template():
    return load_template()


def _digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _read_archive(content):
    archive = zipfile.ZipFile(io.BytesIO(content))
    return [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]


def _voxels_ras_mm(dataset):
    """Position of every pixel of a slice, from its header alone."""
    position, orientation = (
        np.array(dataset.ImagePositionPatient, float),
        np.array(dataset.ImageOrientationPatient, float),
    )
    rows, columns = np.mgrid[: dataset.Rows, : dataset.Columns]
    row_mm, column_mm = (float(value) for value in dataset.PixelSpacing)
    points = position + columns[..., None] * column_mm * orientation[:3] + rows[..., None] * row_mm * orientation[3:]
    return points * np.array([-1, -1, 1])


def test_files_and_tables(cohort):
    with (cohort / "reports.csv").open(encoding="utf-8", newline="") as file:
        reports = list(csv.DictReader(file))
    studies = tables.read(cohort / "truth" / "studies.parquet", TRUTH_STUDIES).to_pylist()
    lesions = tables.read(cohort / "truth" / "lesions.parquet", TRUTH_LESIONS).to_pylist()
    labels = tables.read(cohort / "truth" / "labels.parquet", TRUTH_LABELS).to_pylist()
    accessions = [report["accession_number"] for report in reports]
    assert [study["accession_number"] for study in studies] == accessions
    assert [study["set"] for study in studies] == ["development"] * 3 + ["test"] * 2 + ["shifted"]
    assert all(report["report_text"] and report["language"] in ("en", "zh") for report in reports)
    assert {path.stem for path in (cohort / "dicom").iterdir()} == set(accessions)
    abnormal = {study["accession_number"] for study in studies if not study["is_normal"]}
    assert {path.name.split(".")[0] for path in (cohort / "masks").iterdir()} == abnormal
    assert {lesion["accession_number"] for lesion in lesions} == abnormal
    assert all(0 <= voxel < np.prod(TRUTH_SHAPE) for lesion in lesions for voxel in lesion["template_voxels"])
    assert all(lesion["template_voxels"] for lesion in lesions)
    assert len(labels) == 14 * len(studies)
    assert len(SiteKey.load(cohort / "site.key").secret) >= 32


def test_same_bytes_again_and_in_parallel(cohort, params_path, tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "stale.zip").write_bytes(b"of an earlier run")
    simulate_cohort.main(tmp_path, params_path, jobs=2)
    assert _digests(tmp_path) == _digests(cohort)


def test_archives_hold_whole_series_in_no_order(cohort):
    for path in (cohort / "dicom").iterdir():
        datasets = _read_archive(path.read_bytes())
        assert {dataset.AccessionNumber for dataset in datasets} == {path.stem}
        assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
        series = defaultdict(list)
        for dataset in datasets:
            series[dataset.SeriesInstanceUID].append(dataset)
        for stack in series.values():
            numbers = [int(dataset.InstanceNumber) for dataset in stack]
            assert sorted(numbers) == list(range(1, len(stack) + 1))
            if len(stack) > 8:
                assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))
                normal = np.cross(stack[0].ImageOrientationPatient[:3], stack[0].ImageOrientationPatient[3:])
                places = np.sort([normal @ np.array(dataset.ImagePositionPatient, float) for dataset in stack])
                assert np.allclose(np.diff(places), stack[0].SpacingBetweenSlices, atol=1e-3)
                assert 17 <= len(stack) <= 32


def test_text_and_truth_do_not_change_with_the_grid(params, template, tmp_path):
    finer = params.model_copy(update={"in_plane_mm": 3.5, "snr": (50.0, 50.0)})
    key = StudyKey("development", 0)
    rows = []
    for number, chosen in enumerate((params, finer)):
        out = tmp_path / str(number)
        (out / "dicom").mkdir(parents=True)
        (out / "masks").mkdir()
        rows.append(simulate_cohort.simulate_study(chosen, template, key, out))
    assert rows[0] == rows[1]
    archives = [next((tmp_path / name / "dicom").iterdir()).read_bytes() for name in ("0", "1")]
    assert archives[0] != archives[1]


def _first_with(params, template, side):
    for index in range(200):
        visit = draw_visit(params, StudyKey("development", index))
        if visit.diseases[:1] in (("acute_infarct",), ("haemorrhage",)) and len(visit.diseases) == 1:
            patient = draw_patient(params, template, visit)
            if patient.lesions[0].side == side and patient.lesions[0].diameter_mm > 20:
                return visit, patient
    raise AssertionError(f"no lesion on the {side} in 200 studies")


@pytest.mark.parametrize("side", ["left", "right"])
def test_mask_lies_on_the_altered_voxels_on_the_right_side(params, template, side):
    quiet = params.model_copy(update={"snr": (1e6, 1e6)})
    visit, patient = _first_with(params, template, side)
    healthy = replace(patient, lesions=())
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(mask_file(patient)))
    labels = np.asarray(mask.dataobj) > 0
    altered, inside = [], []
    without = {dataset.SOPInstanceUID: dataset for dataset in _read_archive(study_archive(quiet, visit, healthy))}
    for dataset in _read_archive(study_archive(quiet, visit, patient)):
        if dataset.Rows < 40:
            continue
        before = without[dataset.SOPInstanceUID].pixel_array.astype(float)
        difference = np.abs(dataset.pixel_array - before)
        points = _voxels_ras_mm(dataset)[difference > 0.15 * np.percentile(before, 90)]
        altered.append(points)
        voxels = np.rint((points - mask.affine[:3, 3]) / mask.affine[0, 0]).astype(int)
        inside += [labels[tuple(slice(max(0, v - 1), v + 2) for v in voxel)].any() for voxel in voxels]
    points = np.concatenate(altered)
    assert len(points) > 20
    assert np.mean(inside) > 0.9
    assert np.sign(np.median(points[:, 0])) == (-1 if side == "left" else 1)
    centre = nib.affines.apply_affine(mask.affine, np.argwhere(labels)).mean(axis=0)
    assert np.linalg.norm(centre - points.mean(axis=0)) < 12
