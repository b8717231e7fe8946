"""What is read of the attributes that identify, and what becomes of them."""

import ast

import pytest
from imports import ROOT
from pydicom.datadict import tag_for_keyword

from stages.imaging.profile import KINDS, LISTED, TREATMENTS, is_listed


def keywords_of(file):
    """Keywords of DICOM among the strings of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in strings if text.isidentifier() and tag_for_keyword(text) is not None}


def test_the_table_of_the_standard_is_there():
    assert len(LISTED) > 500
    for keyword in ("PatientName", "PatientAddress", "StudyDate", "DeviceSerialNumber", "RequestAttributesSequence"):
        assert is_listed(keyword), keyword
    assert not is_listed("EchoTime")


@pytest.mark.parametrize("file", sorted((ROOT / "stages" / "imaging").glob("*.py")), ids=lambda path: path.stem)
def test_every_identifying_attribute_that_is_read_has_its_treatment(file):
    missing = {keyword for keyword in keywords_of(file) if is_listed(keyword)} - set(TREATMENTS)
    assert not missing, "tell in stages/imaging/profile.py what becomes of these"


def test_treatments_are_of_attributes_of_the_profile():
    assert [keyword for keyword in TREATMENTS if not is_listed(keyword)] == []


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("PatientBirthName", "name"),
        ("ScheduledPerformingPhysicianName", "other_name"),
        ("AdmissionID", "number"),
        ("PatientTelephoneNumbers", "number"),
        ("StationName", "number"),
        ("InstitutionAddress", "place"),
        ("CurrentPatientLocation", "place"),
        ("AcquisitionDateTime", "date"),
        ("ImageComments", "text"),
        ("SOPInstanceUID", None),
        ("StudyTime", None),
    ],
)
def test_what_an_attribute_can_hold(keyword, kind):
    assert KINDS.get(tag_for_keyword(keyword)) == kind
