"""The ledger: what became of every file, in stable codes and fixed sentences."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from stages.artifacts.identity import SiteKey

# Stable reason code → what the ledger says. A message is never made from a file's own content.
REASONS = {
    "empty_file": "the file holds no bytes",
    "unreadable_file": "the file cannot be read; check its permissions and the disk",
    "special_file": "not a regular file (broken link, device or pipe)",
    "file_too_large": "larger than convert_dicom.max_member_mib",
    "not_dicom": "no DICOM file by its content",
    "damaged_dicom": "the DICOM header cannot be read",
    "dicomdir": "a directory of other files, no image",
    "damaged_archive": "the archive cannot be read to its end",
    "too_many_members": "more members than convert_dicom.max_archive_members; none was read",
    "archive_too_large": "beyond the bytes that convert_dicom.max_archive_gib allows to unpack",
    "encrypted_member": "encrypted; export it without a password",
    "nested_archive": "an archive inside an archive; unpack the outer one",
    "unsafe_path": "the member's path leaves the archive",
    "not_image": "a DICOM object without an image",
    "not_mr": "not an MR image",
    "screen_capture": "a screen capture or scanned document",
    "test_object": "a phantom or another test object",
    "localiser": "a localiser",
    "derived": "computed from other images",
    "not_magnitude": "phase, real or imaginary part",
    "not_head": "shows another part of the body",
    "missing_geometry": "no orientation or position in the patient",
    "too_few_slices": "fewer slices than convert_dicom.min_slices",
    "duplicate": "the same image is there more than once; one copy is used",
    "repeated_slices": "some positions hold more images than others",
    "missing_slice": "a gap of a whole number of slices",
    "uneven_spacing": "slice gaps differ by more than convert_dicom.spacing_tolerance_mm",
    "damaged_pixels": "the pixel data cannot be decoded",
    "conversion_failed": "dcm2niix made no volume of the series",
    "conversion_ambiguous": "dcm2niix made several volumes of the series",
    "conversion_incomplete": "the volume lacks slices of the series",
    "conversion_timeout": "dcm2niix took longer than convert_dicom.series_timeout_s",
}

_EXTENSIONS = frozenset(
    [".dcm", ".dicom", ".ima", ".img", ".hdr", ".nii", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz"]
    + [".txt", ".md", ".pdf", ".csv", ".json", ".xml", ".html", ".jpg", ".png"]
)


class SetAside(Exception):  # noqa: N818 - an outcome that the ledger records, not a fault of the program
    """A file or series that is left out, with the reason code that the ledger records."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason

    def __reduce__(self) -> tuple[type[SetAside], tuple[str]]:
        return SetAside, (self.reason,)


def path_hash(key: SiteKey, path: str, member: str | None = None) -> str:
    """Hash where a file lies: its path below the input folder, and the member's path in an archive."""
    place = path if member is None else f"{path}!{member}"
    # Names in another encoding than UTF-8 hold surrogates, which cannot be encoded.
    return key.hash("path", place.encode("utf-8", "backslashreplace").decode("utf-8"))


def extension(path: str) -> str:
    """Return the file extension if it is a known one, and nothing otherwise: names can hold identities."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in _EXTENSIONS else ""


def ledger_row(
    key: SiteKey, path: str, member: str | None, *, reason: str | None = None, series_id: str | None = None
) -> dict[str, Any]:
    """Make the ledger row of one file; without a reason it was used."""
    return {
        "path_hash": path_hash(key, path, member),
        "extension": extension(path if member is None else member),
        "container_hash": None if member is None else path_hash(key, path),
        "status": "used" if reason is None else "set_aside",
        "reason": reason,
        "message": None if reason is None else REASONS[reason],
        "series_id": series_id,
    }
