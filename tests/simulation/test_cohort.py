import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from stages.params import load
from stages.simulation.cohort import VENDORS, CohortParams, StudyKey, draw_visit, study_keys
from stages.simulation.contrast import SEQUENCES
from stages.simulation.diseases import DISEASES


@pytest.fixture(scope="module")
def params():
    return load("simulate_cohort", CohortParams)


def _visits(params, name, count):
    return [draw_visit(params, StudyKey(name, index)) for index in range(count)]


def _metadata(visit):
    sequences = {protocol.sequence for protocol in visit.protocols}
    flags = [name in sequences for name in SEQUENCES] + [visit.vendor == vendor for vendor in VENDORS]
    return [*flags, visit.age_years, visit.protocols[0].field_t]


def test_metadata_predicts_disease_only_weakly(params):
    train, test = _visits(params, "development", 1500), _visits(params, "test", 1500)
    scaler = StandardScaler().fit([_metadata(visit) for visit in train])
    aucs = []
    for disease in DISEASES:
        model = LogisticRegression().fit(
            scaler.transform([_metadata(visit) for visit in train]), [disease in visit.diseases for visit in train]
        )
        scores = model.predict_proba(scaler.transform([_metadata(visit) for visit in test]))[:, 1]
        aucs.append(roc_auc_score([disease in visit.diseases for visit in test], scores))
    assert 0.5 < np.mean(aucs) < 0.65


def test_habits_turn_round_in_the_shifted_set(params):
    def contrast_share(name, is_tumour):
        visits = [
            v for v in _visits(params, name, 1200) if bool({"glioma", "meningioma"} & set(v.diseases)) == is_tumour
        ]
        return np.mean(["T1C" in {p.sequence for p in visit.protocols} for visit in visits])

    assert contrast_share("development", True) > contrast_share("development", False) + 0.05
    assert contrast_share("shifted", True) < contrast_share("shifted", False)


def test_one_reader_is_kept_from_development(params):
    assert max(visit.reader for visit in _visits(params, "development", 300)) == 4
    assert 5 in {visit.reader for visit in _visits(params, "test", 300)}


def test_second_visits_share_the_patient_and_follow_the_first(params):
    visits = _visits(params, "development", 300)
    seconds = [visit for visit in visits if visit.number]
    assert 0.04 < len(seconds) / len(visits) < 0.12
    for second in seconds:
        first = visits[second.patient_index]
        assert first.number == 0
        assert first.person == second.person
        assert first.diseases == second.diseases
        assert first.accession_number != second.accession_number
        assert second.age_years > first.age_years


def test_development_does_not_depend_on_the_test_set(params):
    other = params.model_copy(update={"test_seed": 5, "num_test": 3, "num_shifted": 0})
    assert _visits(params, "development", 20) == _visits(other, "development", 20)
    assert _visits(params, "test", 20) != _visits(other, "test", 20)


def test_accession_numbers_are_unique(params):
    numbers = [draw_visit(params, key).accession_number for key in study_keys(params)]
    assert len(set(numbers)) == len(numbers) == params.num_development + params.num_test + params.num_shifted


def test_share_of_normal_patients(params):
    assert np.mean([not visit.diseases for visit in _visits(params, "development", 1500)]) == pytest.approx(
        params.normal_share, abs=0.04
    )
