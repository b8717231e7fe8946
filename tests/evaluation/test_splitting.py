"""Who trains and who tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.leakage import count_near, require_no_shared_patients, text_overlap
from stages.evaluation.splitting import Fractions, Patient, SplitParams, assign_splits, gather_patients
from stages.evaluation.stratification import stratify, subset_sizes

PARAMS = SplitParams(
    seed=3,
    fractions=Fractions(train=0.7, validation=0.1, test=0.2),
    development_fractions=Fractions(train=0.8, validation=0.2),
    withheld_vendor="UIH",
    withheld_sequences=["T1C"],
    near_duplicate_ratio=0.9,
)


def patients(num: int, seed: int = 0, **fixed) -> dict[str, Patient]:
    rng = np.random.default_rng(seed)
    codes = np.array(["infarct", "mass", "cyst", "haemorrhage"])
    return {
        f"p{index}": Patient([f"s{index}"], findings=set(codes[rng.random(4) < [0.4, 0.2, 0.1, 0.05]]), **fixed)
        for index in range(num)
    }


@given(st.integers(1, 60), st.tuples(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)))
def test_sizes_add_up_and_leave_no_wanted_subset_empty(num_patients: int, fractions: tuple) -> None:
    sizes = subset_sizes(num_patients, fractions)
    assert sum(sizes) == num_patients
    wanted = [size for size, fraction in zip(sizes, fractions, strict=True) if fraction > 0]
    assert all(wanted) or num_patients < len(wanted)
    assert all(size == 0 for size, fraction in zip(sizes, fractions, strict=True) if fraction == 0)


@pytest.mark.parametrize(("num_patients", "sizes"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (4, [2, 1, 1])])
def test_tiny_cohorts_fill_every_split_they_can(num_patients: int, sizes: list[int]) -> None:
    assert subset_sizes(num_patients, [0.7, 0.1, 0.2]) == sizes


def test_findings_are_shared_out_evenly() -> None:
    rng = np.random.default_rng(0)
    has_finding = rng.random((400, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02]
    subset = stratify(has_finding, [280, 40, 80], seed=1)
    assert np.bincount(subset).tolist() == [280, 40, 80]
    for fraction, index in ((0.7, 0), (0.1, 1), (0.2, 2)):
        found, expected = has_finding[subset == index].sum(0), has_finding.sum(0) * fraction
        assert (np.abs(found - expected) <= 3).all()


def test_sizes_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 3, expected 2 patients"):
        stratify(np.zeros((2, 1), dtype=bool), [2, 1], seed=0)


def test_splits_do_not_depend_on_ids_but_on_the_seed() -> None:
    given = patients(50)
    renamed = {f"zz{99 - index}": patient for index, patient in enumerate(given.values())}
    first = list(assign_splits(given, PARAMS).values())
    assert first == list(assign_splits(renamed, PARAMS).values())
    assert first != list(assign_splits(given, PARAMS.model_copy(update={"seed": 4})).values())


def test_declared_sets_are_honoured() -> None:
    cohort = {
        **{f"d{n}": Patient(declared_sets={"development"}) for n in range(10)},
        "test": Patient(declared_sets={"test"}),
        "both": Patient(declared_sets={"development", "test"}),
        "shifted": Patient(declared_sets={"shifted"}, vendors={"UIH"}),
        "vendor": Patient(declared_sets={"test"}, vendors={"UIH", "GE"}),
    }
    splits = assign_splits(cohort, PARAMS)
    assert [splits[name] for name in ("test", "both", "shifted", "vendor")] == [
        "test", "test", "test_shifted", "test_vendor",
    ]  # fmt: skip
    assert sorted(splits[f"d{n}"] for n in range(10)) == ["train"] * 8 + ["validation"] * 2


def test_a_cohort_of_the_withheld_vendor_only_stops_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="withheld_vendor to null"):
        assign_splits(patients(3, vendors={"UIH"}), PARAMS)


def test_studies_of_a_patient_stay_together() -> None:
    patient_of = {"a": "p", "b": "q", "c": "p", "unpaired": "q"}
    gathered = gather_patients(
        ["c", "b", "a"], patient_of, {"unpaired": "shifted"}, {"p": {"GE"}}, {"a": {"mass"}, "c": {"cyst"}}
    )
    assert list(gathered) == ["p", "q"]
    assert gathered["p"] == Patient(["c", "a"], set(), {"GE"}, {"mass", "cyst"})
    assert gathered["q"].declared_sets == {"shifted"}


def test_fractions_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1"):
        Fractions(train=0.7, validation=0.1, test=0.1)


def test_shared_patients_are_refused() -> None:
    with pytest.raises(ValueError, match="1 patients lie in more than one split"):
        require_no_shared_patients({"a": "p", "b": "p"}, {"a": "train", "b": "test"})


def test_exact_and_near_duplicates_are_counted_once_each() -> None:
    long = "There is an acute infarct in the left insula with restricted diffusion."
    texts = {
        "train": [long, "Normal study."],
        "test": ["Normal study.", "Normal study.", long.replace("left", "right"), "Multiple sclerosis plaques."],
        "test_shifted": [],
    }
    assert text_overlap(texts, "train", 0.9) == {
        "test": {"num_texts": 3, "num_exact": 1, "num_near": 1},
        "test_shifted": {"num_texts": 0, "num_exact": 0, "num_near": 0},
    }


def test_near_duplicates_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = ["mass", "left", "right", "oedema", "no", "of", "insula", "acute"]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(60)]
    whole = count_near(texts[:30], texts[30:], 0.7)
    monkeypatch.setattr("stages.evaluation.leakage._BLOCK_SCORES", 64)
    assert count_near(texts[:30], texts[30:], 0.7) == whole > 0
