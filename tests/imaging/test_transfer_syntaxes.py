"""Every file that pydicom ships, and a series in every transfer syntax that those files hold."""

from __future__ import annotations

import io
from pathlib import Path

import dicom_files as df
import nibabel as nib
import numpy as np
import pydicom
import pytest
from failure_classes.case import changed, series_uids
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from stages import params
from stages.artifacts import tables
from stages.artifacts.identity import write_new_key
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.convert_dicom import main
from stages.imaging import acquisitions, headers, triage
from stages.imaging.grouping import Slice, group_images
from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings

BUNDLED = Path(pydicom.__file__).parent / "data"
SETTINGS = params.load("convert_dicom", ConversionSettings, params.DEFAULT_PATH)

# What becomes of the files that come with pydicom, each alone; those of a name that ends in * share it.
EXPECTED = {
    "not_dicom": "FileInfo.txt README* *.icc *.dump *.json no_meta.dcm zipMR.gz",
    "dicomdir": "DICOMDIR*",
    "document": "test-SR.dcm reportsi*.dcm waveform_ecg.dcm",
    "not_image": "rtplan*.dcm rtstruct.dcm ExplVR_*EndNoMeta.dcm IM0000*",
    "damaged_dicom": "UN_sequence.dcm empty_charset_LEI.dcm meta_missing_tsyntax.dcm nested_priv_SQ.dcm priv_SQ.dcm "
    "no_meta_group_length.dcm chrSQEncoding*.dcm",
    "truncated_pixels": "MR_truncated.dcm chrJapMulti*.dcm chrKoreanMulti.dcm",
    "wrong_length": "badVR.dcm SC_rgb_jpeg.dcm",
    "wrong_frames": "liver*_1frame.dcm",
    "damaged_pixels": "JPEG2000-embedded-sequence-delimiter.dcm",
    "not_mr": "CT_small.dcm ExplVR_BigEnd.dcm 693_J2KI.dcm J2K_pixelrep_mismatch.dcm JPEG-lossy.dcm JPEG2000.dcm "
    "JPGExtended.dcm rtdose*.dcm examples_jpeg2k.dcm examples_palette.dcm examples_*_color.dcm "
    "6154 6247 6278 171* 17[12]* 6293 6924 2062 2392 2693 3023 3353",
    "derived": "MR_small*.dcm 4467 45* 46*",
    "screen_capture": "SC_*.dcm chr*.dcm JPEGLSNearLossless*.dcm GDCMJ2K_TextGBR.dcm image_dfl.dcm",
    "not_head": "15820 15970 examples_overlay.dcm",
    "localiser": "4919 5641",
    "too_few_slices": "4950 4981 5011 6273 6605 6935",
}
FILES = sorted(path for folder in ("test_files", "charset_files") for path in (BUNDLED / folder).rglob("*"))


def verdict(data: bytes) -> str:
    """Reason code of a file that is the only one of an export."""
    try:
        if not headers.is_dicom(data[:512]):
            raise SetAside("not_dicom")
        groups = group_images(Slice(0, image) for image in headers.read_images(data))
        triage.check_series(groups[0], SETTINGS)
        return acquisitions.arrange(groups[0], SETTINGS)[0].reason or "used"
    except SetAside as outcome:
        return outcome.reason


def expected_code(path: Path) -> str:
    """The first code that names the file; names without a wildcard come before those with one."""
    named = [(code, pattern) for code, patterns in EXPECTED.items() for pattern in patterns.split()]
    named.sort(key=lambda item: "*" in item[1])
    return next((code for code, pattern in named if path.match(pattern)), "not listed")


def test_every_file_of_pydicom_ends_with_the_reason_that_fits_it():
    found = {path.name: verdict(path.read_bytes()) for path in FILES if path.is_file()}
    assert len(found) > 100
    assert found == {path.name: expected_code(path) for path in FILES if path.is_file()}


@pytest.fixture
def convert(tmp_path):
    def run():
        write_new_key(tmp_path / "site.key")
        main(tmp_path / "dicom", tmp_path / "out", tmp_path / "site.key", tmp_path / "work")
        series = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
        ledger = tables.read(tmp_path / "out" / "ledger.parquet", LEDGER).to_pylist()
        return [nib.load(tmp_path / "out" / row["nifti"]) for row in series], ledger

    return run


def swapped(slices):
    """Pixels in the byte order of a big-endian file, which pydicom writes as they are."""
    for ds in slices:
        ds.PixelData = np.frombuffer(ds.PixelData, np.uint16).byteswap().tobytes()
    return slices


LOSSLESS = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "run lengths": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_transfer_syntax_changes_no_voxel(tmp_path, convert, name):
    slices = df.slices()
    expected = df.volume(slices)
    df.write(tmp_path / "dicom", swapped(slices) if name == "big-endian" else slices, LOSSLESS[name])
    (image,), _ = convert()
    np.testing.assert_array_equal(np.asarray(image.dataobj), expected)


def test_copies_in_several_transfer_syntaxes_are_one_series(tmp_path, convert):
    slices = df.slices()
    for number, syntax in enumerate((ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless)):
        df.write(tmp_path / "dicom" / str(number), slices, syntax)
    (image,), ledger = convert()
    assert [row["reason"] for row in ledger].count("duplicate") == 18
    np.testing.assert_array_equal(np.asarray(image.dataobj), df.volume(slices))


def transplanted(name: str) -> list[bytes]:
    """A series of head slices that all hold the (compressed) pixels of a file of pydicom's."""
    uids = series_uids()
    found = []
    for number in range(5):
        ds = pydicom.dcmread(BUNDLED / "test_files" / name)
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = MRImageStorage, generate_uid(), "MR"
        ds.ImageType, ds.SeriesDescription, ds.StudyDescription = ["ORIGINAL", "PRIMARY", "M"], "t2 tra", "Head"
        ds.BodyPartExamined, ds.PatientName, ds.InstanceNumber = "HEAD", "Nobody", number + 1
        ds.ProtocolName = "t2 tra"
        ds.EchoTime, ds.RepetitionTime, ds.PixelSpacing = 90.0, 4000.0, [1.0, 1.0]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = list(df.AXIAL), [0.0, 0.0, 4.0 * number]
        changed([ds], **uids)
        buffer = io.BytesIO()
        ds.save_as(buffer)
        found.append(buffer.getvalue())
    return found


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_jpeg_ls_lossless.dcm",
        "JPEGLSNearLossless_16.dcm",
        "JPEG2000.dcm",
        "693_J2KI.dcm",
        "JPGExtended.dcm",
        "MR_small_RLE.dcm",
        "MR_small_padded.dcm",
        "MR_small_expb.dcm",
    ],
)
def test_pixels_of_pydicoms_files_are_decoded_as_pydicom_does(tmp_path, convert, name):
    (tmp_path / "dicom").mkdir()
    for number, data in enumerate(transplanted(name)):
        (tmp_path / "dicom" / str(number)).write_bytes(data)
    (image,), _ = convert()
    ds = pydicom.dcmread(BUNDLED / "test_files" / name)
    # Whichever way dcm2niix turns the axes.
    expected = ds.pixel_array[::-1, ::-1].T
    found = np.asarray(nib.as_closest_canonical(image).dataobj)
    scaled = expected * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
    for number in range(5):
        np.testing.assert_allclose(found[..., number], scaled)


def test_no_cut_of_a_file_passes_as_whole():
    (ds,) = df.slices(num=1)
    for syntax in LOSSLESS.values():
        whole = df.encode(ds, syntax)
        for percent in range(0, 100, 5):
            cut = whole[: len(whole) * percent // 100]
            assert verdict(cut) in ("not_dicom", "not_image", "damaged_dicom", "truncated_pixels"), (syntax, percent)
