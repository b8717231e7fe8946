"""Why a file or series is set aside: stable codes, each with what the ledger says and what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What a reason code means.

    Attributes:
        message: what the ledger says; never made from a file's own content.
        remedy: what a site can do, as the README's reference part shows it.
    """

    message: str
    remedy: str


_NOTHING = "none needed"
_EXPORT_AGAIN = "export the file again from the PACS"

_FILES = {
    "empty_file": Reason("the file holds no bytes", _EXPORT_AGAIN),
    "unreadable_file": Reason(
        "the file cannot be read; check its permissions and the disk", "give the user that runs the stage leave to read"
    ),
    "unreadable_folder": Reason(
        "the folder cannot be listed; check its permissions and the disk",
        "give the user that runs the stage leave to read it",
    ),
    "special_file": Reason("not a regular file (broken link, device or pipe)", "put the file itself into the folder"),
    "linked_again": Reason("leads to what is found at another place; it is read there", _NOTHING),
    "link_outside": Reason(
        "a link that leaves the export; convert_dicom.follow_links would follow it",
        "set the parameter, or copy the files",
    ),
    "changed_during_run": Reason("changed while the export was read; run again when it is complete", "run again"),
    "header_timeout": Reason(
        "took longer to read than convert_dicom.header_timeout_s",
        "export the file again, or raise the parameter on a slow disk",
    ),
    "file_too_large": Reason("larger than convert_dicom.max_member_mib", "raise the parameter if the file is wanted"),
    "not_dicom": Reason("no DICOM file by its content", _NOTHING),
    "damaged_dicom": Reason("the DICOM header cannot be read", _EXPORT_AGAIN),
    "dicomdir": Reason("a directory of other files, no image", "none needed: the files it lists are found without it"),
    "damaged_archive": Reason("the archive cannot be read to its end", "copy or pack the archive again"),
    "too_many_members": Reason(
        "more members than convert_dicom.max_archive_members; none was read", "split the archive or raise the parameter"
    ),
    "archive_too_large": Reason(
        "beyond the bytes that convert_dicom.max_archive_gib allows to unpack",
        "split the archive or raise the parameter",
    ),
    "encrypted_member": Reason("encrypted; export it without a password", "pack the archive again without a password"),
    "nested_archive": Reason("an archive inside an archive; unpack the outer one", "unpack the outer archive"),
    "unsafe_path": Reason("the member's path leaves the archive", "pack the archive again with relative paths"),
}

_OBJECTS = {
    "document": Reason("a report, waveform or other document, no image", _NOTHING),
    "not_image": Reason("a DICOM object without an image", _NOTHING),
    "not_mr": Reason("not an MR image", _NOTHING),
    "screen_capture": Reason("a screen capture or scanned document", _NOTHING),
    "burned_in_annotation": Reason(
        "the header says that text is burned into the pixels", "export the series without it, or correct the flag"
    ),
    "colour_image": Reason("a colour image: a picture or a computed map", "export the grey images it was made from"),
    "test_object": Reason(
        "a phantom or another test object",
        "none needed for one; for a patient take words like phantom, QA or QC out of the descriptions, protocol, "
        "PatientID and name",
    ),
    "localiser": Reason("a localiser", _NOTHING),
    "derived": Reason("computed from other images", "export the acquired series too if it is missing"),
    "not_magnitude": Reason("phase, real or imaginary part", _NOTHING),
    "not_head": Reason(
        "shows another part of the body", "correct SeriesDescription or BodyPartExamined if it is a head"
    ),
    "missing_uid": Reason(
        "no SeriesInstanceUID, or neither StudyInstanceUID nor AccessionNumber",
        "export again with the UIDs kept, or replaced consistently",
    ),
    "several_patients": Reason(
        "one StudyInstanceUID or SeriesInstanceUID stands for several patients or accession numbers",
        "export again with the UIDs replaced consistently, each by one of its own",
    ),
}

_GEOMETRY = {
    "missing_geometry": Reason("no orientation or position in the patient", "export again with the geometry kept"),
    "missing_pixel_spacing": Reason("no size of the pixels", "export again with PixelSpacing kept"),
    "too_few_slices": Reason(
        "fewer slices than convert_dicom.min_slices", "export the whole series, or lower the parameter"
    ),
    "duplicate": Reason("the same image is there more than once; one copy is used", _NOTHING),
    "repeated_slices": Reason(
        "some positions hold more images than others",
        "separate the acquisitions that share the series, or drop the images of the one that was broken off",
    ),
    "missing_slice": Reason("a gap of a whole number of slices", "export the missing slices"),
    "uneven_spacing": Reason(
        "slice gaps differ by more than convert_dicom.spacing_tolerance_mm",
        "separate the stacks that share the series, or raise the parameter",
    ),
    "shifted_slices": Reason(
        "slices are shifted sideways by more than convert_dicom.spacing_tolerance_mm",
        "separate the stacks that share the series, or raise the parameter",
    ),
}

_PIXELS = {
    "unsupported_syntax": Reason(
        "the transfer syntax is private, a video or unknown", "export as Explicit VR Little Endian"
    ),
    "truncated_pixels": Reason("the pixel data is missing or ends early", _EXPORT_AGAIN),
    "wrong_length": Reason("the pixel data is not as long as rows, columns, frames and bits say", _EXPORT_AGAIN),
    "wrong_frames": Reason("the number of frames is not that of the frames described", _EXPORT_AGAIN),
    "image_too_large": Reason(
        "the header claims more pixels than convert_dicom.max_member_mib holds",
        "raise the parameter if the claim is true",
    ),
    "damaged_pixels": Reason("the pixel data cannot be decoded", _EXPORT_AGAIN),
}

_CONVERSION = {
    "conversion_failed": Reason("dcm2niix made no volume of the series", "run dcm2niix on the series by hand"),
    "conversion_ambiguous": Reason(
        "dcm2niix made several volumes of the series", "run dcm2niix on the series by hand; report what it says"
    ),
    "conversion_incomplete": Reason("the volume lacks slices of the series", "export the series again"),
    "conversion_misplaced": Reason(
        "the volume does not lie where the slices' positions say", "run dcm2niix on the series by hand; report it"
    ),
    "conversion_timeout": Reason(
        "took longer than convert_dicom.series_timeout_s", "raise the parameter, or split the series"
    ),
    "out_of_memory": Reason(
        "asked for more memory than convert_dicom.series_memory_gib",
        "raise the parameter if the series really is that large",
    ),
    "decoder_crashed": Reason("the process that read it crashed", "export the series uncompressed"),
}

# Stable reason code → what it means.
REASONS: dict[str, Reason] = _FILES | _OBJECTS | _GEOMETRY | _PIXELS | _CONVERSION


def reference_table() -> str:
    """Return the codes, their meanings and remedies as the Markdown table that the README shows."""
    rows = (f"| `{code}` | {reason.message} | {reason.remedy} |" for code, reason in REASONS.items())
    return "\n".join(["| code | what it means | what to do |", "|---|---|---|", *rows])
