"""What is no MR image of a head, and what is one though its header says otherwise."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import dicom_files as df
from failure_classes.case import (
    CT,
    SECONDARY_CAPTURE,
    Case,
    bundled,
    changed,
    odd,
    one_file,
    series_uids,
    set_aside,
    used,
    written,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    generate_uid,
)

# What is no MR image of a head


def _three_planes() -> list[Dataset]:
    uids = series_uids()
    planes = (df.AXIAL, df.CORONAL, df.SAGITTAL)
    return [ds for plane in planes for ds in df.slices(ImageOrientationPatient=list(plane), **uids)]


def _colour(**changes: Any) -> list[Dataset]:
    slices = df.slices(SamplesPerPixel=3, PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
                       PlanarConfiguration=0, **changes)  # fmt: skip
    return changed(slices, PixelData=bytes(df.ROWS * df.COLUMNS * 3))


def _burned_in_once() -> list[Dataset]:
    slices = df.slices()
    slices[2].BurnedInAnnotation = "YES"
    return slices


def _burned_in_with_another_plane() -> list[Dataset]:
    uids = series_uids()
    coronal = df.slices(seed=1, ImageOrientationPatient=list(df.CORONAL), **uids)
    coronal[2].BurnedInAnnotation = "YES"
    return [*df.slices(**uids), *coronal]


def _two_patients(first: dict[str, Any], second: dict[str, Any], *shared: str) -> list[Dataset]:
    """Two heads, whose UIDs named here are the same."""
    common = {name: generate_uid() for name in shared}
    return [ds for n, one in enumerate((first, second)) for ds in df.slices(seed=n, **common, **one)]


def _one_scan_under_two_orders() -> list[Dataset]:
    slices = df.slices()
    return [*slices, *changed(deepcopy(slices), AccessionNumber="ORDER2")]


def _issuer_once() -> list[Dataset]:
    slices = df.slices()
    slices[2].IssuerOfPatientID = "HOSPITAL"
    return slices


_ONE, _TWO = {"PatientID": "P1", "AccessionNumber": "N1"}, {"PatientID": "P2", "AccessionNumber": "N2"}
_STUDY, _SERIES = "StudyInstanceUID", "SeriesInstanceUID"
_NO_NUMBER = {"AccessionNumber": ""}
_NAMELESS = {"PatientID": "", "PatientName": "", "AccessionNumber": ""}


def _encapsulated_pdf() -> bytes:
    ds = df.header(SOPClassUID=EncapsulatedPDFStorage, Modality="OT")
    ds.SOPInstanceUID, ds.EncapsulatedDocument = generate_uid(), b"%PDF-1.4 none"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    return df.encode(ds)


def _derived(*types: str) -> Case:
    return odd("derived", ImageType=list(types))


OBJECTS = {
    "localiser by its type": odd("localiser", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "localiser by its planes": set_aside("localiser", _three_planes, 18),
    "localiser by its name": odd("localiser", SeriesDescription="3-plane loc"),
    "localiser in Chinese": odd("localiser", SeriesDescription="定位像", SpecificCharacterSet="ISO_IR 192"),
    "reformat": _derived("DERIVED", "SECONDARY", "MPR"),
    "reformat by the console": _derived("DERIVED", "SECONDARY", "CSA MPR"),
    "projection": _derived("ORIGINAL", "PRIMARY", "PROJECTION IMAGE", "MIP"),
    "subtraction": _derived("DERIVED", "PRIMARY", "SUBTRACTION"),
    "anisotropy": _derived("DERIVED", "PRIMARY", "DIFFUSION", "FA"),
    "blood flow": _derived("DERIVED", "SECONDARY", "CBF"),
    "colour map": set_aside("derived", lambda: _colour(ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "COLFA"])),
    "colour picture": set_aside("colour_image", _colour),
    "palette": odd("colour_image", PhotometricInterpretation="PALETTE COLOR"),
    "screen capture": odd("screen_capture", SOPClassUID=SECONDARY_CAPTURE),
    "burned-in text": odd("burned_in_annotation", BurnedInAnnotation="YES"),
    "burned-in text in one slice": set_aside("burned_in_annotation", _burned_in_once),
    "burned-in text in one plane": set_aside("burned_in_annotation", _burned_in_with_another_plane, 12),
    "no burned-in text": used(lambda: df.slices(BurnedInAnnotation="NO")),
    "CT": odd("not_mr", SOPClassUID=CT, Modality="CT"),
    "CT that says MR": odd("not_mr", SOPClassUID=CT),
    "MR that says nothing": used(lambda: df.slices(Modality="")),
    "MR without Modality": used(lambda: df.slices(Modality=None)),
    "MR that says other": used(lambda: df.slices(Modality="OT")),
    "MR that says CT": used(lambda: df.slices(Modality="CT")),
    "MR without SOP class": written(None, lambda ds: df.edited(df.encode(ds), SOPClassUID=None)),
    "MR without SOP class or Modality": written(
        None, lambda ds: df.edited(df.encode(ds), SOPClassUID=None, Modality=None)
    ),
    "knee": odd("not_head", BodyPartExamined="KNEE", StudyDescription="MR"),
    "neck by its name": odd("not_head", SeriesDescription="t2_tse_sag C-spine"),
    "neck in Chinese": odd("not_head", SeriesDescription="颈椎矢状位T2", SpecificCharacterSet="ISO_IR 192"),
    "lower back in Chinese": odd("not_head", SeriesDescription="腰椎", SpecificCharacterSet="GB18030"),
    "head under a protocol of head and spine": used(
        lambda: df.slices(ProtocolName="HEAD^SPINE", StudyDescription="MR")
    ),
    "no body part at all": used(lambda: changed(df.slices(), BodyPartExamined=None, StudyDescription=None)),
    "phantom": odd("test_object", PatientName="ACR Phantom"),
    "quality control by its protocol": odd("test_object", ProtocolName="weekly_QC"),
    "fruit by its number": odd("test_object", PatientID="FRUIT"),
    "patients named like test objects": used(
        lambda: [*df.slices(PatientID="QC-10234", PatientName="Qa^Wei"), *df.slices(PatientName="Fruit^Anna")], 2
    ),
    "two patients with the same UIDs": set_aside(
        "several_patients", lambda: _two_patients(_ONE, _TWO, _STUDY, _SERIES), 12
    ),
    "two patients with the same UIDs, told by birth": set_aside(
        "several_patients",
        lambda: _two_patients(_NAMELESS, {**_NAMELESS, "PatientBirthDate": "19550101"}, _STUDY, _SERIES),
        12,
    ),
    "two studies of one patient with the same UIDs": set_aside(
        "several_patients", lambda: _two_patients(_ONE, {**_ONE, "AccessionNumber": "N2"}, _STUDY, _SERIES), 12
    ),
    "two patients with one study UID": used(lambda: _two_patients(_ONE, _TWO, _STUDY), 2),
    "two patients with one study UID and no number": set_aside(
        "several_patients", lambda: _two_patients({**_ONE, **_NO_NUMBER}, {**_TWO, **_NO_NUMBER}, _STUDY), 12
    ),
    "two patients with one number": used(lambda: _two_patients(_ONE, {**_TWO, "AccessionNumber": "N1"}), 2),
    "an issuer that some images lack": used(_issuer_once),
    "one scan under two orders": used(_one_scan_under_two_orders, 1, duplicate=6),
    "MR object without an image": set_aside("not_image", lambda: changed(df.slices(), Rows=None)),
    "structured reports": bundled("document", "test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"),
    "waveform": bundled("document", "waveform_ecg.dcm"),
    "PDF": one_file("document", _encapsulated_pdf),
    "radiotherapy": bundled("not_image", "rtplan.dcm", "rtstruct.dcm"),
    "radiotherapy dose": bundled("not_mr", "rtdose.dcm"),
}
