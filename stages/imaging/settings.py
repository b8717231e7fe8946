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
        follow_links: whether links that leave the export are followed.
        header_timeout_s: time that reading one file may take.
        series_timeout_s: time that converting one series may take.
        series_memory_gib: memory that reading a file or converting a series may ask for.
        keep_days: converted series that no run has used for so long are removed from the cache.
    """

    spacing_tolerance_mm: float = Field(gt=0)
    min_slices: int = Field(ge=1)
    max_archive_members: int = Field(ge=1)
    max_archive_gib: float = Field(gt=0)
    max_member_mib: float = Field(gt=0)
    follow_links: bool = True
    header_timeout_s: float = Field(default=120.0, gt=0)
    series_timeout_s: float = Field(gt=0)
    series_memory_gib: float = Field(default=8.0, gt=0)
    keep_days: float = Field(default=30.0, ge=0)

    @property
    def max_member_bytes(self) -> int:
        """Size limit of a file or member in bytes."""
        return int(self.max_member_mib * 2**20)

    @property
    def max_archive_bytes(self) -> int:
        """Limit of the bytes unpacked from one archive."""
        return int(self.max_archive_gib * 2**30)

    @property
    def series_memory_bytes(self) -> int:
        """Memory limit of a file or series in bytes."""
        return int(self.series_memory_gib * 2**30)
