"""Intervals of the tables on synthetic scores whose truth is known: patients with several studies, several seeds.

Every check goes through the estimators that the tables use. 95 % intervals of 240 simulated data sets
should cover the truth in 95 % of them; the bounds are those of a binomial, with room for the few
patients and seeds that a percentile bootstrap sees.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.evaluation import statistics
from stages.evaluation.areas import Rules, classification_estimates
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.estimates import measure_estimates
from stages.evaluation.quantities import Quantity

NUM_DATA_SETS, NUM_PATIENTS, NUM_SEEDS, NUM_RESAMPLES = 240, 60, 3, 300
LOWEST, HIGHEST = stats.binom.ppf([0.0005, 0.9995], NUM_DATA_SETS, [0.94, 0.96]) / NUM_DATA_SETS
MEAN = Quantity("segmentation", "dice", "test", "all")
AREA = Quantity("classification", "zero_shot/auc", "test", "macro")


def studies(rng, fewest=2, most=4):
    """Patient of each study."""
    return np.repeat(np.arange(NUM_PATIENTS), rng.integers(fewest, most + 1, NUM_PATIENTS))


def noise(rng, patients, *, of_patient=1.0, of_seed=0.05, of_study=0.5):
    """Correlated within patients and within seeds; shape (seeds, studies)."""
    shared = of_patient * rng.normal(size=NUM_PATIENTS)[patients]
    return shared + of_seed * rng.normal(size=(NUM_SEEDS, 1)) + of_study * rng.normal(size=(NUM_SEEDS, len(patients)))


def cases(values, clusters, column="value", **about):
    num_seeds, num_studies = values.shape
    default = {"split": "test", "metric": "dice", "class": "all", "label_fraction": np.nan}
    return pd.DataFrame(
        default
        | {
            "seed": np.repeat(np.arange(num_seeds), num_studies),
            "patient_id": np.tile([str(cluster) for cluster in clusters], num_seeds),
            column: values.ravel(),
        }
        | about
    )


def resample(clusters, seed):
    return {"test": Resampling.draw([str(cluster) for cluster in dict.fromkeys(clusters)], NUM_RESAMPLES, seed)}


def covers(estimate, truth):
    low, high = statistics.interval(estimate.resampled, 0.95)
    return low <= truth <= high


def test_a_mean_is_covered_nominally_and_not_by_studies_alone():
    rng = np.random.default_rng(0)
    found = {"patients": [], "studies": []}
    for repeat in range(NUM_DATA_SETS):
        patients = studies(rng)
        values = 0.3 + noise(rng, patients)
        for name, clusters in (("patients", patients), ("studies", np.arange(len(patients)))):
            estimates = measure_estimates(cases(values, clusters), resample(clusters, repeat), task="segmentation")
            found[name].append(covers(estimates[MEAN], 0.3))
    assert LOWEST <= np.mean(found["patients"]) <= HIGHEST
    # The positive control: studies of a patient are not independent.
    assert np.mean(found["studies"]) < 0.87


def test_an_area_is_covered_nominally():
    rng = np.random.default_rng(1)
    found = {"patients": [], "studies": []}
    for repeat in range(NUM_DATA_SETS):
        patients = studies(rng)
        labels = (rng.random(NUM_PATIENTS) < 0.4)[patients]
        scores = 1.2 * labels + noise(rng, patients, of_seed=0.0)
        for name, clusters in (("patients", patients), ("studies", np.arange(len(patients)))):
            frame = cases(
                scores, clusters, "score", protocol="zero_shot", shots=np.nan, draw=np.nan, **{"class": "mass"},
                label=np.tile(labels.astype(int), NUM_SEEDS), study_id=np.tile(np.arange(len(patients)), NUM_SEEDS),
            )  # fmt: skip
            estimates = classification_estimates(frame, resample(clusters, repeat), rules=Rules(1))
            found[name].append(covers(estimates[AREA], truth_of_area()))
    assert LOWEST <= np.mean(found["patients"]) <= HIGHEST
    assert np.mean(found["studies"]) < 0.87


def truth_of_area():
    """Positive and negative scores differ by 1.2 and have variance 1 + 0.25 each."""
    return stats.norm.cdf(1.2 / np.sqrt(2 * 1.25))


@pytest.mark.parametrize("truth", [0.0, 0.25])
def test_a_paired_difference_is_covered_nominally_and_seldom_significant_without_one(truth):
    rng = np.random.default_rng(2)
    is_covered, is_significant, is_contradicted = [], [], []
    for repeat in range(NUM_DATA_SETS):
        patients = studies(rng, fewest=1)
        shared = noise(rng, patients)
        resampling = resample(patients, repeat)
        method, baseline = (
            measure_estimates(
                cases(shared + shift + noise(rng, patients, of_patient=0.4, of_seed=0.02), patients), resampling,
                task="segmentation",
            )[MEAN]
            for shift in (truth, 0.0)
        )  # fmt: skip
        difference = statistics.compare(method, baseline, confidence=0.95, num_sign_flips=300, seed=repeat % 3)
        is_covered.append(difference.low <= truth <= difference.high)
        is_significant.append(difference.p < 0.05)
        is_contradicted.append(difference.p < 0.05 and difference.low <= 0 <= difference.high)
    assert LOWEST <= np.mean(is_covered) <= HIGHEST
    assert np.mean(is_significant) <= 1 - LOWEST if truth == 0 else np.mean(is_significant) > 0.6
    assert not any(is_contradicted)


def test_seeds_that_differ_are_covered_too():
    """Most of the spread is that of the training: three seeds say so little that resampling three would be too sure."""
    rng = np.random.default_rng(3)
    is_covered = []
    for repeat in range(NUM_DATA_SETS):
        patients = studies(rng, most=2)
        values = 0.3 + noise(rng, patients, of_seed=0.2)
        estimates = measure_estimates(cases(values, patients), resample(patients, repeat), task="segmentation")
        is_covered.append(covers(estimates[MEAN], 0.3))
    assert np.mean(is_covered) >= 0.88
