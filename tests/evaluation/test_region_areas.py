"""Rankings of regions and areas over them, against scikit-learn and resamples drawn one by one."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from stages.evaluation import region_areas
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.quantities import Quantity
from stages.evaluation.region_areas import presence_areas, ranking_cases, region_estimates

NUM_STUDIES, NUM_REGIONS = 30, 7
SHARES = {"infarct": 0.6, "cyst": 0.3, "rare": 0.04}


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    rows = []
    for finding, share in SHARES.items():
        labels = (rng.random(NUM_STUDIES) < share)[:, None] & (rng.random((NUM_STUDIES, NUM_REGIONS)) < 0.3)
        labels[0, 0] = True
        for seed in (0, 1):
            scores = 1.5 * labels + rng.normal(size=labels.shape)
            rows += [
                {
                    "split": "test", "seed": seed, "study_id": f"s{n}", "patient_id": f"p{n // 2}", "class": finding,
                    "region": f"r{region}", "score": np.float32(scores[n, region]), "label": int(labels[n, region]),
                }
                for n, region in np.ndindex(labels.shape)
                if (n, region) != (3, 2)  # a region that the image does not show
            ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def resampling():
    return Resampling.draw([f"p{n}" for n in range(NUM_STUDIES // 2)], 40, 3)


def quantity(metric, cls):
    return Quantity("regions", metric, "test", cls)


def test_rankings_are_those_of_scikit_learn(cases):
    ranked = ranking_cases(cases)
    expected = {
        (finding, seed, study): average_precision_score(own["label"], own["score"])
        for (finding, seed, study), own in cases.groupby(["class", "seed", "study_id"])
        if own["label"].any()
    }
    for chosen in (ranked[ranked["class"] != "all"], ranked[ranked["class"] == "all"]):
        assert sorted(chosen["value"]) == pytest.approx(sorted(expected.values()))
    found = ranked[ranked["class"] != "all"].set_index(["class", "seed", "study_id"])["value"].to_dict()
    assert found == pytest.approx(expected)
    assert set(ranked["metric"]) == {"region_ap"}


def test_the_order_of_rows_does_not_matter(cases):
    keys = ["class", "seed", "study_id", "value"]
    whole, mixed = (
        ranking_cases(one).sort_values(keys)["value"].tolist() for one in (cases, cases.sample(frac=1, random_state=1))
    )
    assert mixed == pytest.approx(whole)


def test_areas_are_those_of_scikit_learn(cases):
    rounded = cases.assign(score=cases["score"].round(1))  # ties
    for row in presence_areas(rounded).to_dict("records"):
        own = rounded[(rounded["class"] == row["class"]) & (rounded["seed"] == row["seed"])]
        assert row["value"] == pytest.approx(roc_auc_score(own["label"], own["score"]))
        assert row["num_positives"] == own["study_id"][own["label"] > 0].nunique()


@pytest.mark.parametrize("block_size", [1 << 21, 300])
def test_resampled_areas_are_those_of_the_drawn_patients(cases, resampling, monkeypatch, block_size):
    monkeypatch.setattr(region_areas, "_BLOCK_SIZE", block_size)
    one_seed = cases[cases["seed"] == 0]
    estimates = region_estimates(one_seed, {"test": resampling}, min_positives=1)
    for finding in ("infarct", "cyst"):
        own = one_seed[one_seed["class"] == finding]
        expected = []
        for weight_P in resampling.weights:
            drawn = weight_P[resampling.rows(own["patient_id"])]
            expected.append(roc_auc_score(own["label"], own["score"], sample_weight=drawn))
        assert estimates[quantity("region_presence/auc", finding)].resampled == pytest.approx(expected, abs=1e-6)


def test_the_macro_average_is_over_findings_in_enough_studies(cases, resampling):
    estimates = region_estimates(cases, {"test": resampling}, min_positives=5)
    single = [estimates[quantity("region_presence/auc", finding)] for finding in ("infarct", "cyst")]
    macro = estimates[quantity("region_presence/auc", "macro")]
    assert macro.seed_values == pytest.approx(np.mean([one.seed_values for one in single], axis=0))
    assert macro.num_patients == NUM_STUDIES // 2
    assert quantity("region_presence/auc", "rare") not in estimates
    nothing = region_estimates(cases, {"test": resampling}, min_positives=50)[quantity("region_presence/auc", "macro")]
    assert np.isnan(nothing.value)
    assert nothing.reason == "no finding lies in a region of 50 studies of the split"


def test_equal_scores_are_worth_what_chance_is(cases, resampling):
    estimates = region_estimates(cases.assign(score=np.float32(0)), {"test": resampling}, min_positives=5)
    assert estimates[quantity("region_presence/auc", "macro")].value == pytest.approx(0.5)
    drawn = [
        ranking_cases(cases.assign(score=np.random.default_rng(seed).random(len(cases))))["value"].mean()
        for seed in range(60)
    ]
    assert estimates[quantity("region_ap", "all")].value == pytest.approx(np.mean(drawn), abs=0.02)


def test_the_value_is_the_mean_over_cases(cases, resampling):
    estimates = region_estimates(cases, {"test": resampling}, min_positives=5)
    ranked = ranking_cases(cases)
    whole = ranked[ranked["class"] == "all"].groupby("seed")["value"].mean()
    assert estimates[quantity("region_ap", "all")].seed_values == pytest.approx(whole.to_numpy())


def test_no_cases_give_no_estimates(cases):
    assert not region_estimates(cases.iloc[:0], {}, min_positives=5)
