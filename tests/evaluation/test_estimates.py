"""Estimates from case tables, against scikit-learn and by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from stages.evaluation.areas import Rules, classification_estimates
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.estimates import measure_estimates, protect_parts, retrieval_estimates
from stages.evaluation.quantities import MACRO, RETRIEVAL, SHORTCUTS, Quantity
from stages.evaluation.vqa_task import answer_estimates

SPLITS = {"test": 60, "validation": 30}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    rows = []
    for split, size in SPLITS.items():
        for finding, share in (("mass", 0.4), ("cyst", 0.3), ("rare", 0.05)):
            labels = rng.random(size) < share
            labels[0] = True
            for seed in (0, 1):
                for draw in (0, 1, 2):
                    scores = labels + rng.normal(size=size)
                    rows += [
                        {
                            "split": split, "study_id": f"{split}{n}", "patient_id": f"{split}{n // 2}", "seed": seed,
                            "protocol": "linear_probe", "class": finding, "label_fraction": 1.0,
                            "shots": None, "draw": draw,
                            "score": score, "label": int(label),
                        }
                        for n, (score, label) in enumerate(zip(scores, labels, strict=True))
                    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"shots": "float"})


@pytest.fixture(scope="module")
def resamplings():
    return {"test": Resampling.draw([f"test{n}" for n in range(30)], 100, 0)}


def quantity(cls, metric="auc"):
    return Quantity("classification", f"linear_probe/{metric}", "test", cls, 1.0)


def test_auc_is_the_mean_over_draws_for_each_seed(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, rules=Rules(5))
    here = frame[(frame["split"] == "test") & (frame["class"] == "mass")]
    for seed, value in zip((0, 1), estimates[quantity("mass")].seed_values, strict=True):
        draws = [group for _, group in here[here["seed"] == seed].groupby("draw")]
        assert value == pytest.approx(np.mean([roc_auc_score(d["label"], d["score"]) for d in draws]))
    assert estimates[quantity("mass")].num_patients == 30


def test_macro_is_over_the_classes_with_enough_positives(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, rules=Rules(10))
    mean = np.mean([estimates[quantity(cls)].value for cls in ("mass", "cyst")])
    assert estimates[quantity("macro")].value == pytest.approx(mean)
    none = classification_estimates(frame, resamplings, rules=Rules(50))[quantity("macro")]
    assert np.isnan(none.value)
    assert none.reason == "no class has 50 positives and a negative in the split"


def test_the_threshold_is_the_best_of_validation(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, rules=Rules(5))
    alone = frame[frame["class"] == "mass"]
    estimates = classification_estimates(alone, resamplings, rules=Rules(5))
    values = []
    for draw in (0, 1, 2):
        here = frame[(frame["class"] == "mass") & (frame["seed"] == 0) & (frame["draw"] == draw)]
        validation, test = here[here["split"] == "validation"], here[here["split"] == "test"]
        cuts = sorted(validation["score"])
        cuts = [0.5 * (low + high) for low, high in zip(cuts, cuts[1:], strict=False)]
        best = max(
            reversed(cuts), key=lambda cut: balanced_accuracy_score(validation["label"], validation["score"] > cut)
        )
        values.append(balanced_accuracy_score(test["label"], test["score"] > best))
    assert estimates[quantity("macro", "balanced_accuracy")].seed_values[0] == pytest.approx(np.mean(values))


def test_one_class_has_no_value_but_a_reason(frame, resamplings):
    one = frame[(frame["class"] == "mass")].assign(label=0)
    estimate = classification_estimates(one, resamplings, rules=Rules(1))[quantity("mass")]
    assert np.isnan(estimate.value)
    assert estimate.reason == "the split has only one class"


def test_a_missing_score_is_an_error(frame, resamplings):
    with pytest.raises(ValueError, match="some study lacks a score"):
        classification_estimates(frame.iloc[:-1], resamplings, rules=Rules(1))


def test_retrieval_is_shown_for_all_for_the_abnormal_and_by_language(resamplings):
    cases = pd.DataFrame(
        {
            "split": "test", "direction": "image_to_text", "metric": ["ndcg@10"] * 4 + ["rank"] * 4, "seed": 0,
            "patient_id": ["test0", "test0", "test1", "test2"] * 2, "value": [1.0, 0.5, 0.0, 0.5, 1, 3, 9, 4],
            "is_abnormal": [True, False, True, False] * 2, "language": ["en", "en", "zh", None] * 2, "class": None,
        }
    )  # fmt: skip
    estimates = retrieval_estimates(cases, resamplings)
    assert {q.cls: e.smallest_cell for q, e in estimates.items() if "ndcg" in q.metric} == {
        "all": 3, "abnormal": 2, "language_en": 1, "language_zh": 1
    }  # fmt: skip
    shown = {(q.metric, q.cls): estimate.value for q, estimate in estimates.items()}
    assert shown == {
        ("image_to_text/ndcg@10", "all"): 0.5,
        ("image_to_text/ndcg@10", "abnormal"): 0.5,
        ("image_to_text/ndcg@10", "language_en"): 0.75,
        ("image_to_text/ndcg@10", "language_zh"): 0.0,
        ("image_to_text/median_rank", "all"): 3.0,
    }


def test_amounts_of_labels_are_kept_apart_and_single_classes_shown_with_all_of_them(frame, resamplings):
    amounts = [{"label_fraction": 0.1}, {"label_fraction": np.nan, "shots": 5.0}, {}]
    cases = pd.concat([frame.assign(**amount) for amount in amounts])
    estimates = classification_estimates(cases, resamplings, rules=Rules(10))
    alone = classification_estimates(frame, resamplings, rules=Rules(10))
    whole = alone[quantity("macro")]
    about = ("classification", "linear_probe/auc", "test", "macro")
    for amount in (Quantity(*about, 0.1), Quantity(*about, None, 5), Quantity(*about, 1.0)):
        np.testing.assert_allclose(estimates[amount].seed_values, whole.seed_values)
        np.testing.assert_allclose(estimates[amount].resampled, whole.resampled)
    assert {q.labels for q in estimates if q.cls == "mass"} == {"1"}
    assert {q.labels for q in estimates if q.cls == "macro"} == {"0.1", "5 per class", "1"}


def test_two_class_tasks_stand_by_themselves(frame, resamplings):
    few = frame.assign(label_fraction=0.1)
    estimates = classification_estimates(few, resamplings, rules=Rules(1, ("mass",)))
    assert Quantity("classification", "linear_probe/auc", "test", "mass", 0.1) in estimates
    assert Quantity("classification", "linear_probe/balanced_accuracy", "test", "mass", 0.1) in estimates
    others = classification_estimates(few[few["class"] != "mass"], resamplings, rules=Rules(1))
    macro = Quantity("classification", "linear_probe/auc", "test", "macro", 0.1)
    np.testing.assert_allclose(estimates[macro].seed_values, others[macro].seed_values)


def test_fine_tuning_is_a_task_of_its_own_and_takes_one_draw_a_seed(frame, resamplings):
    one_draw = frame[frame["draw"] == frame["seed"]]
    tuned = one_draw.assign(protocol="fine_tuning", draw=np.nan, label_fraction=0.1)
    estimates = classification_estimates(tuned, resamplings, rules=Rules(5))
    assert {q.task for q in estimates} == {"finetuning"}
    macro = estimates[Quantity("finetuning", "fine_tuning/auc", "test", "macro", 0.1)]
    assert macro.seeds == (0, 1)
    here = one_draw[(one_draw["split"] == "test") & (one_draw["seed"] == 1)]
    areas = [roc_auc_score(g["label"], g["score"]) for cls, g in here.groupby("class") if cls != "rare"]
    assert macro.seed_values[1] == pytest.approx(np.mean(areas))


def test_transfer_uses_thresholds_of_its_own_validation(frame, resamplings):
    views = frame.assign(protocol="linear_probe_transfer")
    with_validation = classification_estimates(views, resamplings, rules=Rules(10))
    name = Quantity("classification", "linear_probe_transfer/balanced_accuracy", "test", "macro", 1.0)
    assert with_validation[name].value > 0.5
    alone = views[views["split"] == "test"]
    without = classification_estimates(pd.concat([alone, frame]), resamplings, rules=Rules(10))[name]
    assert np.isnan(without.value)
    assert "validation split" in without.reason


def test_the_macro_tells_of_its_smallest_class(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, rules=Rules(1))
    cells = {q.cls: one.smallest_cell for q, one in estimates.items() if q.metric.endswith("/auc")}
    assert cells["macro"] == min(cells["mass"], cells["cyst"], cells["rare"])


def test_categories_are_shown_one_by_one(resamplings):
    cases = pd.DataFrame(
        {
            "split": "test", "direction": "category_text_to_image", "metric": "precision@10", "seed": 0,
            "patient_id": ["test0", "test1", "test2", "test3"], "value": [1.0, 0.5, 0.0, 0.1], "is_abnormal": True,
            "language": None, "class": ["mass", "mass", "cyst", "cyst"],
        }
    )  # fmt: skip
    estimates = retrieval_estimates(cases, resamplings)
    shown = {q.cls: estimate.value for q, estimate in estimates.items()}
    assert shown == pytest.approx({"all": 0.4, "mass": 0.75, "cyst": 0.05})


def measures(values, patients, **about):
    default = {"split": "test", "metric": "dice", "class": "all", "label_fraction": 0.1, "seed": 0}
    return pd.DataFrame(default | {"patient_id": patients, "value": values} | about)


def test_measures_are_means_over_cases_for_each_class_and_share(resamplings):
    patients = ["test0", "test0", "test1", "test2"]
    cases = pd.concat(
        [
            measures([0.1, 0.2, 0.3, 0.8], patients),
            measures([0.3, 0.4, 0.5, 1.0], patients, seed=1),
            measures([0.1, 0.2], patients[:2], **{"class": "mass"}),
            measures([5.0, np.pi], patients[1:3], metric="hd95_mm", label_fraction=np.nan),
            measures([9.0], ["other"], split="validation"),
        ]
    )
    estimates = measure_estimates(cases, resamplings, task="segmentation")
    whole = estimates[Quantity("segmentation", "dice", "test", "all", 0.1)]
    np.testing.assert_allclose(whole.seed_values, [0.35, 0.55])
    assert (whole.seeds, whole.num_patients) == ((0, 1), 3)
    shares = dict(zip(resamplings["test"].patients, whole.patient_shares, strict=True))
    assert shares["test0"] == pytest.approx((0.3 / 4 + 0.7 / 4) / 2)
    assert whole.patient_shares.sum() == pytest.approx(whole.value)
    assert estimates[Quantity("segmentation", "dice", "test", "mass", 0.1)].value == pytest.approx(0.15)
    distance = estimates[Quantity("segmentation", "hd95_mm", "test", "all")]
    assert distance.value == pytest.approx((5 + np.pi) / 2)
    assert {q.split for q in estimates} == {"test"}


def test_resampled_measures_are_means_over_the_repeated_cases(resamplings):
    rng = np.random.default_rng(0)
    patients = [f"test{n}" for n in rng.integers(0, 30, 50)]
    values = rng.random(50)
    cases = measures(values, patients).astype({"label_fraction": "float32"})
    (estimate,) = measure_estimates(cases, resamplings, task="segmentation").values()
    numbers = resamplings["test"].rows(patients)
    slow = [np.repeat(values, w[numbers].astype(int)).mean() for w in resamplings["test"].weights]
    np.testing.assert_allclose(estimate.resampled, slow, atol=1e-6)


def test_no_cases_give_no_estimates(resamplings):
    assert not measure_estimates(measures([], []), resamplings, task="localisation")


def test_a_hidden_part_hides_what_would_tell_of_it():
    patients = np.eye(12)
    whole = patients.sum(axis=0)
    parts = np.stack([patients[:2].sum(axis=0), patients[2:6].sum(axis=0), patients[6:].sum(axis=0)])
    # The first part is small; the second is withheld with it, or the whole and the third would tell of it.
    assert protect_parts(parts, whole, 5) == [2, 2, 6]
    assert protect_parts(parts, whole, 3) == [2, 2, 6]
    assert protect_parts(parts, whole, 2) == [2, 4, 6]
    # A part tells of the rest.
    assert protect_parts(patients[:10].sum(axis=0)[None], whole, 5) == [2]
    assert protect_parts(np.stack([whole, whole]), whole, 5) == [12, 12]


def test_balanced_accuracy_is_resampled_as_the_mean_of_its_classes():
    """A perfect probe leaves no doubt, however the classes are drawn."""
    cases = pd.DataFrame(
        {
            "metric": "vendor_accuracy", "class": ["a"] * 9 + ["b"] * 3, "label_fraction": np.nan, "split": "test",
            "seed": 0, "patient_id": [f"p{n}" for n in range(12)], "value": 1.0,
        }
    )  # fmt: skip
    resampling = Resampling.draw(cases["patient_id"].tolist(), 100, 0)
    macro = measure_estimates(cases, {"test": resampling}, task=SHORTCUTS)[
        Quantity(SHORTCUTS, "vendor_accuracy", "test", MACRO)
    ]
    assert macro.value == 1.0
    assert (macro.resampled[macro.resampled > 0] == 1.0).all()
    assert macro.smallest_cell == 3
    assert macro.num_patients == 12


def test_open_and_closed_questions_tell_of_as_few_patients_as_the_smallest_kind():
    """Eight patients are asked for presence, two of them for a side: both together tell of those two."""
    asked = [(kind, n) for kind, size in (("presence", 8), ("side", 2)) for n in range(size)]
    by_kind = [("balanced_accuracy", kind, n) for kind, n in asked]
    rows = [*by_kind, *(("closed_accuracy", "all", n) for _, n in asked)]
    cases = pd.DataFrame(
        {
            "metric": [row[0] for row in rows], "class": [row[1] for row in rows], "label_fraction": np.nan,
            "split": "test", "seed": 0, "patient_id": [f"p{row[2]}" for row in rows], "value": 1.0,
        }
    )  # fmt: skip
    patients = [f"p{n}" for n in range(8)]
    estimates = answer_estimates(cases, {"test": Resampling.draw(patients, 50, 0)}, min_patients=5)
    cells = {(q.metric, q.cls): (e.smallest_cell, e.num_patients) for q, e in estimates.items()}
    assert cells["closed_accuracy", "all"] == (2, 8)
    assert cells["balanced_accuracy", "presence"] == (8, 8)
    assert cells["balanced_accuracy", MACRO] == (2, 8), "patients of several kinds count once"


def test_a_sentence_tells_of_as_few_patients_as_have_the_category():
    """Of forty patients two have it: what is retrieved for the sentence tells of those two."""

    def rows(direction, cls, patients):
        return [
            {
                "direction": direction, "metric": "precision@10", "class": cls, "language": None, "is_abnormal": False,
                "split": "test", "seed": 0, "patient_id": patient, "value": 0.05,
            }
            for patient in patients
        ]  # fmt: skip

    everyone = [f"p{n}" for n in range(40)]
    cases = pd.DataFrame(
        rows("category_image_to_image", "cyst", everyone[:2])
        + rows("category_image_to_image", "mass", everyone[:10])
        + rows("category_text_to_image", "cyst", everyone)
        + rows("category_text_to_image", "mass", everyone)
    )
    estimates = retrieval_estimates(cases, {"test": Resampling.draw(everyone, 20, 0)})
    cells = {
        cls: estimates[Quantity(RETRIEVAL, "category_text_to_image/precision@10", "test", cls)].smallest_cell
        for cls in ("cyst", "mass", "all")
    }
    assert cells == {"cyst": 2, "mass": 10, "all": 2}
