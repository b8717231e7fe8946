"""Parameters of the conversion from DICOM."""

from __future__ import annotations

from pydantic import Field

from stages.params import Params


class ConversionSettings(Params):
    """Section ``convert_dicom`` of the parameter file.

    Attributes:
        spacing_tolerance_mm: largest deviation of a slice gap from the series' median gap.
        min_slices: series with fewer slice positions are set aside.
        max_archive_members: archives with more members are set aside whole.
        max_archive_gib: bytes unpacked from one archive; members beyond are set aside.
        max_member_mib: larger files and members are set aside.
        series_timeout_s: time that dcm2niix may take for one series.
    """

    spacing_tolerance_mm: float = Field(gt=0)
    min_slices: int = Field(ge=1)
    max_archive_members: int = Field(ge=1)
    max_archive_gib: float = Field(gt=0)
    max_member_mib: float = Field(gt=0)
    series_timeout_s: float = Field(gt=0)

    @property
    def max_member_bytes(self) -> int:
        """Size limit of a file or member in bytes."""
        return int(self.max_member_mib * 2**20)

    @property
    def max_archive_bytes(self) -> int:
        """Limit of the bytes unpacked from one archive."""
        return int(self.max_archive_gib * 2**30)
