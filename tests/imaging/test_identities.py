"""Identifiers are found wherever a header holds them, in whatever character set."""

import io

import dicom_files as df
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from stages.imaging.characters import readings
from stages.imaging.elements import Elements
from stages.imaging.free_text import mentions, private_mentions
from stages.imaging.identities import identifying_texts, read_identity


def told(ds, syntax=ExplicitVRLittleEndian):
    """What is told of a data set once it was written to a file and read again."""
    return set(identifying_texts(pydicom.dcmread(io.BytesIO(df.encode(ds, syntax)))))


def item(**values):
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def nested(depth, **values):
    """A data set in so many sequences."""
    inner = item(**values)
    for _ in range(depth):
        inner = item(ModifiedAttributesSequence=Sequence([inner]))
    return inner


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_attributes_of_the_profile_are_found_in_sequences_at_any_depth(syntax):
    (ds, *_) = df.slices(num=1)
    ds.RequestAttributesSequence = Sequence([item(RequestedProcedureID="RPX880142")])
    ds.OriginalAttributesSequence = Sequence(
        [nested(4, PersonName="Pemberly^Thaddeus", PatientAddress="17 Thornapple")]
    )
    expected = {("number", "RPX880142"), ("other_name", "Pemberly^Thaddeus"), ("place", "17 Thornapple")}
    assert expected <= told(ds, syntax)


def test_private_elements_are_read_as_far_as_they_name_somebody():
    (ds, *_) = df.slices(num=1)
    block = ds.private_block(0x0011, "MAKER", create=True)
    for offset, (representation, value) in enumerate(
        [
            ("LO", "Isolde Farrowmere"),
            ("PN", "Crakehall^Benedikt"),
            ("UN", b"\x00\x03\x02Jocasta Windlesham\x00\xff"),
            ("LO", "Spin Echo"),
            ("DS", "12345678"),
            ("DA", "20190923"),
            ("LO", "left frontal glioma"),
        ]
    ):
        block.add_new(offset, representation, value)
    inner = Dataset()
    inner.private_block(0x0011, "MAKER", create=True).add_new(0x06, "LO", "慕容雪晴")
    inner.SpecificCharacterSet = "ISO_IR 192"
    block.add_new(0x20, "SQ", Sequence([inner]))
    found = told(ds) - told(df.slices(num=1)[0])
    assert found == {
        ("other_name", "Isolde Farrowmere"),
        ("other_name", "Crakehall^Benedikt"),
        ("other_name", "Jocasta Windlesham"),
        ("other_name", "慕容雪晴"),
        ("date", "20190923"),
    }


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-8", "big5"])
def test_names_without_a_declared_character_set_are_read_in_every_possible_one(encoding):
    name = "諸葛^明遠" if encoding == "big5" else "诸葛^明远"
    (ds, *_) = df.slices(num=1, PatientName="N" * len(name.encode(encoding)))
    data = df.encode(ds).replace(b"N" * len(name.encode(encoding)), name.encode(encoding))
    assert ("name", name) in identifying_texts(pydicom.dcmread(io.BytesIO(data)))


@pytest.mark.parametrize("declared", ["ISO_IR 100", "GB18030", "ISO_IR 192"])
def test_a_wrong_character_set_hides_no_name(declared):
    name = "欧阳^娜娜"
    for encoding in ("gb18030", "utf-8"):
        value = name.encode(encoding)
        (ds, *_) = df.slices(num=1, PatientName="N" * len(value), SpecificCharacterSet=declared)
        data = df.encode(ds).replace(b"N" * len(value), value)
        assert ("name", name) in identifying_texts(pydicom.dcmread(io.BytesIO(data)))


@pytest.mark.parametrize("path", get_charset_files("*.dcm"), ids=lambda path: path.rsplit("/", 1)[-1])
def test_names_in_the_character_sets_of_the_standard_are_read_as_declared(path):
    expected = str(pydicom.dcmread(path).get("PatientName", ""))
    identity = read_identity(Elements(pydicom.dcmread(path)))
    assert not expected or expected in identity.patient_names
    if not expected.isascii():
        assert ("name", expected) in identity.others


def test_frames_share_what_they_say_of_somebody():
    ds = df.enhanced((0.0, 1000.0))
    assert ("other_name", "Oxblood^Hortensia") in told(ds)


def test_a_header_full_of_names_is_bounded():
    (ds, *_) = df.slices(num=1)
    ds.OtherPatientNames = [f"Name{number:05d}^Given" for number in range(5000)]
    assert len(told(ds)) <= 500


def test_ascii_is_not_in_doubt():
    assert readings(b"Quillfeather^Zebulon") == ()


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_not(value):
    assert all(isinstance(text, str) for text in readings(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Referred by Dr. Tamsin Yarborough, left frontal glioma", {("other_name", "Tamsin Yarborough")}),
        ("pt. of Quillfeather^Euphemia", {("other_name", "Quillfeather^Euphemia")}),
        ("申请医师：司马文昊", {("other_name", "司马文昊")}),
        ("see 2019-09-23 and ACC55120", {("date", "2019-09-23"), ("number", "ACC55120")}),
        ("患者头痛 b 1000 TR 4500 White Matter Lesions", set()),
    ],
)
def test_free_text_gives_what_has_the_form_of_an_identifier(text, expected):
    assert set(mentions(text)) == expected


@pytest.mark.parametrize("text", ["Fast Spin Echo", "HEAD NECK COIL", "SIEMENS CSA HEADER", "left frontal", "T2 TSE"])
def test_scanners_are_no_persons(text):
    assert set(private_mentions(text)) == set()
