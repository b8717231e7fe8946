"""Two-class tasks by hand."""

import logging

import numpy as np
import pytest

from stages.artifacts import tables, truth_tables
from stages.evaluation.labels import Labels
from stages.evaluation.subtype_tasks import SubtypeTask, add_subtype_tasks

TASKS = {"infarct_age": SubtypeTask(finding="infarct", positive="acute infarct", negative="chronic infarct")}
LESIONS = {
    "acute": [("infarct", "acute infarct"), ("mass", "glioma")],
    "two_acute": [("infarct", "acute infarct"), ("infarct", "acute infarct")],
    "chronic": [("infarct", "chronic infarct")],
    "both": [("infarct", "acute infarct"), ("infarct", "chronic infarct")],
    "with_third": [("infarct", "acute infarct"), ("infarct", "subacute infarct")],
    "third": [("infarct", "subacute infarct")],
    "mass": [("mass", "glioma")],
}


def write_lesions(path, lesions):
    rows = [
        {
            "study_id": study, "lesion": n, "finding": finding, "subtype": subtype, "size_mm": 5.0, "volume_ml": 1.0,
            "signals": [], "template_voxels": [], "template_shape": [2, 2, 2],
        }
        for study, of_study in lesions.items()
        for n, (finding, subtype) in enumerate(of_study)
    ]  # fmt: skip
    table = tables.from_rows(truth_tables.LINKED_LESIONS, rows)
    tables.write(path, table, truth_tables.LINKED_LESIONS)
    return path


@pytest.fixture
def labels():
    return Labels(["mass"], {"acute": np.array([1.0]), "normal": np.array([0.0])})


def test_a_study_is_labelled_if_it_has_one_of_the_two_subtypes_only(tmp_path, labels):
    added = add_subtype_tasks(labels, write_lesions(tmp_path / "lesions.parquet", LESIONS), TASKS)
    assert added.classes == ["mass", "infarct_age"]
    studies = [*LESIONS, "normal", "unheard_of"]
    found = dict(zip(studies, added.of(studies)[:, 1].tolist(), strict=True))
    assert {study: value for study, value in found.items() if not np.isnan(value)} == {
        "acute": 1.0,
        "two_acute": 1.0,
        "chronic": 0.0,
    }


def test_findings_stay_as_they_are(tmp_path, labels):
    added = add_subtype_tasks(labels, write_lesions(tmp_path / "lesions.parquet", LESIONS), TASKS)
    assert added.of(["acute", "normal"])[:, 0].tolist() == [1.0, 0.0]
    assert np.isnan(added.of(["chronic"])[0, 0])


def test_a_cohort_without_lesions_has_no_such_task(tmp_path, labels, caplog):
    caplog.set_level(logging.INFO)
    added = add_subtype_tasks(labels, write_lesions(tmp_path / "lesions.parquet", {}), TASKS)
    assert added.classes == ["mass"]
    assert caplog.messages == ["infarct_age: lesions.parquet has no lesion of its two subtypes; the task is left out"]


def test_a_task_called_like_a_finding_is_an_error(tmp_path, labels):
    path = write_lesions(tmp_path / "lesions.parquet", LESIONS)
    with pytest.raises(ValueError, match=r"subtype_tasks: \['mass'\] are findings"):
        add_subtype_tasks(labels, path, {"mass": TASKS["infarct_age"]})
