"""The ledger: what became of every file, in stable codes and fixed sentences."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from stages.artifacts.identity import SiteKey
from stages.imaging.reasons import REASONS

_EXTENSIONS = frozenset(
    [".dcm", ".dicom", ".ima", ".img", ".hdr", ".nii", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz"]
    + [".txt", ".md", ".pdf", ".csv", ".json", ".xml", ".html", ".jpg", ".png"]
)


class SetAside(Exception):  # noqa: N818 - an outcome that the ledger records, not a fault of the program
    """A file or series that is left out, with the reason code that the ledger records."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason].message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[SetAside], tuple[str]]:
        return SetAside, (self.reason,)


def path_hash(key: SiteKey, path: str, member: str | None = None) -> str:
    """Hash where a file lies: its path below the input folder, and the member's path in an archive."""
    place = path if member is None else f"{path}!{member}"
    return key.hash("path", place)


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
        "message": None if reason is None else REASONS[reason].message,
        "series_id": series_id,
    }
