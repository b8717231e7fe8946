"""Estimates from case tables, against scikit-learn and by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from stages.evaluation.bootstrap import Resampling
from stages.evaluation.estimates import Quantity, classification_estimates, retrieval_estimates

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
                            "protocol": "linear_probe", "class": finding, "label_fraction": 0.1, "draw": draw,
                            "score": score, "label": int(label),
                        }
                        for n, (score, label) in enumerate(zip(scores, labels, strict=True))
                    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def resamplings():
    return {"test": Resampling.draw([f"test{n}" for n in range(30)], 100, 0)}


def quantity(cls, metric="auc"):
    return Quantity("classification", f"linear_probe/{metric}", "test", cls, 0.1)


def test_auc_is_the_mean_over_draws_for_each_seed(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, min_positives=5)
    here = frame[(frame["split"] == "test") & (frame["class"] == "mass")]
    for seed, value in zip((0, 1), estimates[quantity("mass")].seed_values, strict=True):
        draws = [group for _, group in here[here["seed"] == seed].groupby("draw")]
        assert value == pytest.approx(np.mean([roc_auc_score(d["label"], d["score"]) for d in draws]))
    assert estimates[quantity("mass")].num_patients == 30


def test_macro_is_over_the_classes_with_enough_positives(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, min_positives=10)
    mean = np.mean([estimates[quantity(cls)].value for cls in ("mass", "cyst")])
    assert estimates[quantity("macro")].value == pytest.approx(mean)
    none = classification_estimates(frame, resamplings, min_positives=50)[quantity("macro")]
    assert np.isnan(none.value)
    assert none.reason == "no class has 50 positives and a negative in the split"


def test_the_threshold_is_the_best_of_validation(frame, resamplings):
    estimates = classification_estimates(frame, resamplings, min_positives=5)
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
    assert estimates[quantity("mass", "balanced_accuracy")].seed_values[0] == pytest.approx(np.mean(values))


def test_one_class_has_no_value_but_a_reason(frame, resamplings):
    one = frame[(frame["class"] == "mass")].assign(label=0)
    estimate = classification_estimates(one, resamplings, min_positives=1)[quantity("mass")]
    assert np.isnan(estimate.value)
    assert estimate.reason == "the split has only one class"


def test_a_missing_score_is_an_error(frame, resamplings):
    with pytest.raises(ValueError, match="some study lacks a score"):
        classification_estimates(frame.iloc[:-1], resamplings, min_positives=1)


def test_retrieval_is_shown_for_all_for_the_abnormal_and_by_language(resamplings):
    cases = pd.DataFrame(
        {
            "split": "test", "direction": "image_to_text", "metric": ["ndcg@10"] * 4 + ["rank"] * 4, "seed": 0,
            "patient_id": ["test0", "test0", "test1", "test2"] * 2, "value": [1.0, 0.5, 0.0, 0.5, 1, 3, 9, 4],
            "is_abnormal": [True, False, True, False] * 2, "language": ["en", "en", "zh", None] * 2,
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
