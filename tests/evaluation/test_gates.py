"""Leakage between splits, planted one kind at a time."""

import pytest
from evaluated_cohort import make_id

from stages.evaluation.gates import SplitContents, check_leakage, require_closed_gates

STUDIES = [make_id("study", n) for n in range(4)]
PATIENTS = [make_id("patient", n) for n in range(4)]
SPLITS = ["train", "train", "test", "test_shifted"]
TEXTS = {"train": ["a left infarct in the thalamus", "normal"], "test": ["normal", "normal"], "test_shifted": []}


def contents(**changed):
    values = {
        "split_of": dict(zip(STUDIES, SPLITS, strict=True)),
        "placed_patient": dict(zip(STUDIES, PATIENTS, strict=True)),
        "series": [
            (study, patient, f"{n}{part}")
            for n, (study, patient) in enumerate(zip(STUDIES, PATIENTS, strict=True))
            for part in "ab"
        ],
        "texts": TEXTS,
    }
    return SplitContents(**(values | changed))


def counts(rows):
    return {(row["check"], row["split"]): (row["count"], row["out_of"]) for row in rows}


def test_separate_splits_pass():
    rows = check_leakage(contents(), 0.9)
    require_closed_gates(rows)
    assert counts(rows) == {
        ("moved_studies", "all"): (0, 4),
        ("shared_patients", "all"): (0, 4),
        ("shared_images", "all"): (0, 8),
        ("exact_texts", "test"): (1, 1),
        ("near_texts", "test"): (0, 1),
        ("exact_texts", "test_shifted"): (0, 0),
        ("near_texts", "test_shifted"): (0, 0),
    }
    assert [row["is_gate"] for row in rows] == [True] * 3 + [False] * 4


def test_a_patient_in_two_splits_stops():
    # The splits agree with themselves: only the series tell.
    series = [(study, PATIENTS[0] if n in {0, 2} else PATIENTS[n], str(n)) for n, study in enumerate(STUDIES)]
    placed = {study: patient for study, patient, _ in series}
    rows = check_leakage(contents(series=series, placed_patient=placed), 0.9)
    with pytest.raises(ValueError, match=r"1 of 3 patients lie in more than one split, expected 0; split by patient"):
        require_closed_gates(rows)


def test_a_patient_that_the_splits_misname_stops():
    moved = dict(zip(STUDIES, [*PATIENTS[:3], PATIENTS[0]], strict=True))
    rows = check_leakage(contents(placed_patient=moved), 0.9)
    with pytest.raises(ValueError, match="1 of 4 studies have another patient in the splits than in their series"):
        require_closed_gates(rows)


def test_an_image_in_two_splits_stops():
    series = [(study, patient, "same") for study, patient in zip(STUDIES, PATIENTS, strict=True)]
    with pytest.raises(ValueError, match="1 of 1 images lie in more than one split"):
        require_closed_gates(check_leakage(contents(series=series), 0.9))


def test_an_image_twice_in_one_split_is_no_leak():
    series = [(study, patient, str(n // 2)) for n, (study, patient) in enumerate(zip(STUDIES, PATIENTS, strict=True))]
    rows = check_leakage(
        contents(series=series, split_of=dict(zip(STUDIES, ["train"] * 2 + ["test"] * 2, strict=True))), 0.9
    )
    require_closed_gates(rows)


def test_every_open_gate_is_named_without_any_id():
    series = [(study, PATIENTS[0], "same") for study in STUDIES]
    with pytest.raises(ValueError, match="studies have another patient.*patients lie.*images lie") as error:
        require_closed_gates(check_leakage(contents(series=series), 0.9))
    assert not any(name in str(error.value) for name in (*STUDIES, *PATIENTS))


def test_near_duplicate_texts_are_counted_and_let_through():
    texts = TEXTS | {"test": ["a left infarct in the thalamus.", "something else"]}
    rows = check_leakage(contents(texts=texts), 0.9)
    require_closed_gates(rows)
    assert counts(rows)["near_texts", "test"] == (1, 2)
    assert counts(check_leakage(contents(texts=texts), 1.0))["near_texts", "test"] == (0, 2)
