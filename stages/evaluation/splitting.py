"""Which patients train, validate and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field, model_validator

from stages.evaluation.stratification import stratify, subset_sizes
from stages.params import Params

TRAIN, VALIDATION, TEST, TEST_SHIFTED, TEST_VENDOR = "train", "validation", "test", "test_shifted", "test_vendor"
# A patient with studies in several declared sets belongs to the first of these.
_DECLARED = {"shifted": TEST_SHIFTED, "test": TEST}


class Fractions(Params):
    """Shares of the patients."""

    train: float = Field(gt=0, le=1)
    validation: float = Field(ge=0, le=1)
    test: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Fractions:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"fractions add up to {total:g}, expected 1")
        return self


class SplitParams(Params):
    """Section ``split_cohort``."""

    seed: int
    fractions: Fractions = Field(description="of the patients, where the cohort declares no sets")
    development_fractions: Fractions = Field(description="of the development patients, where it does")
    withheld_vendor: str | None = Field(description="vendor code whose patients are kept for test_vendor")
    withheld_sequences: list[str] = Field(description="sequences kept out of pretraining")
    near_duplicate_ratio: float = Field(gt=0, le=1, description="similarity from which texts are near-duplicates")


@dataclass
class Patient:
    """What the split of a patient depends on, gathered over the patient's studies."""

    study_ids: list[str] = field(default_factory=list)
    declared_sets: set[str] = field(default_factory=set)
    vendors: set[str] = field(default_factory=set)
    findings: set[str] = field(default_factory=set)


def gather_patients(
    study_ids: Iterable[str],
    patient_of: Mapping[str, str],
    declared_sets: Mapping[str, str],
    vendors: Mapping[str, set[str]],
    findings: Mapping[str, set[str]],
) -> dict[str, Patient]:
    """Gather studies by patient, in the order of the studies.

    Vendor and declared set are those of all the patient's studies, paired with a text or not.

    Args:
        study_ids: the studies to be split.
        patient_of: patient of every study with images.
        declared_sets: set that the cohort gives a study, where it does.
        vendors: vendors of the scanners of each patient.
        findings: findings present in each study.
    """
    patients: dict[str, Patient] = {}
    for study_id in study_ids:
        patient = patients.setdefault(patient_of[study_id], Patient())
        patient.study_ids.append(study_id)
        patient.findings |= findings.get(study_id, set())
    for study_id, patient_id in patient_of.items():
        if patient_id in patients and study_id in declared_sets:
            patients[patient_id].declared_sets.add(declared_sets[study_id])
    for patient_id, patient in patients.items():
        patient.vendors = vendors.get(patient_id, set())
    return patients


def assign_splits(patients: Mapping[str, Patient], params: SplitParams) -> dict[str, str]:
    """Give every patient one split.

    Declared sets are honoured: ``shifted`` and ``test`` stay what they are, all other patients are shared
    out over train and validation. A cohort that declares none is shared out over train, validation and
    test. Patients seen on the withheld vendor leave all of these for ``test_vendor``, save the shifted.

    Args:
        patients: by patient id, in an order that does not depend on ids.
        params: fractions, seed and what is withheld.

    Returns:
        The split of each patient, in the same order.

    Raises:
        ValueError: if no patient is left to train on.
    """
    fixed = {patient_id: _fixed_split(patient, params.withheld_vendor) for patient_id, patient in patients.items()}
    is_declared = any(patient.declared_sets for patient in patients.values())
    fractions = params.development_fractions if is_declared else params.fractions
    free = [patient_id for patient_id, split in fixed.items() if split is None]
    if not free:
        raise ValueError(
            f"none of {len(patients)} patients is left to train on; "
            "set split_cohort.withheld_vendor to null or add development patients"
        )
    shared = _share_out([patients[patient_id].findings for patient_id in free], fractions, params.seed)
    split_of = dict(zip(free, shared, strict=True))
    return {patient_id: split or split_of[patient_id] for patient_id, split in fixed.items()}


def _fixed_split(patient: Patient, withheld_vendor: str | None) -> str | None:
    declared = next((split for name, split in _DECLARED.items() if name in patient.declared_sets), None)
    if declared != TEST_SHIFTED and withheld_vendor in patient.vendors:
        return TEST_VENDOR
    return declared


def _share_out(findings: Sequence[set[str]], fractions: Fractions, seed: int) -> list[str]:
    codes = sorted(set().union(*findings))
    has_finding = np.array([[code in present for code in codes] for present in findings], dtype=bool)
    sizes = subset_sizes(len(findings), [fractions.train, fractions.validation, fractions.test])
    subsets = stratify(has_finding.reshape(len(findings), len(codes)), sizes, seed)
    return [(TRAIN, VALIDATION, TEST)[subset] for subset in subsets]
