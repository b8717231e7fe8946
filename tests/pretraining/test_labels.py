import numpy as np

from stages.artifacts import tables, truth_tables
from stages.pretraining.labels import load_labels
from stages.pretraining.pairs import ImageTable

STUDIES = ["a", "b", "c"]
IMAGES = ImageTable(STUDIES, STUDIES, [None] * 3, ["train"] * 3, np.arange(3), [{} for _ in STUDIES])


def write(path, labels):
    rows = [
        {"study_id": study, "finding": finding, "label": label, "source": "mined"}
        for finding, values in labels.items()
        for study, label in zip(STUDIES, values, strict=True)
    ]
    tables.write(path, tables.from_rows(truth_tables.LABELS, rows), truth_tables.LABELS)
    return path


def test_findings_that_do_not_vary_in_training_are_left_out(tmp_path):
    path = write(tmp_path / "labels.parquet", {"cyst": [1, 0, None], "infarct": [1, 1, 0]})
    labels = load_labels(path, IMAGES, np.array([0, 1]))
    assert labels.classes == ["cyst"]
    assert labels.values_NC.tolist() == [[1], [0], [0]]
    assert labels.is_known_NC.tolist() == [[True], [True], [False]]


def test_labels_that_teach_nothing_are_kept_and_told_of(tmp_path, caplog):
    path = write(tmp_path / "labels.parquet", {"cyst": [1, 1, 1], "infarct": [None, None, None]})
    assert load_labels(path, IMAGES, np.arange(3)).classes == ["cyst", "infarct"]
    assert "nothing to learn" in caplog.text
