"""What a DICOM header says, as plain values: what it shows, where, how it was acquired, and of whom.

Identities stay in memory: nothing of them is written or logged but hashes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who, where and when: only ever hashed."""

    study_uid: str
    series_uid: str
    accession_number: str
    issuer: str
    patient_id: str
    patient_names: tuple[str, ...]
    other_names: tuple[str, ...]
    other_ids: tuple[str, ...]
    institution: str
    birth_date: str
    study_date: str
    study_description: str
    #: kind and text of whatever else could identify somebody, wherever it stands
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a series was acquired, as far as all its images share it."""

    sop_class: str
    modality: str
    transfer_syntax: str
    has_preamble: bool
    vendor: str
    scanner: tuple[str, ...]
    series_description: str
    protocol_name: str
    sequence_name: str
    body_part: str
    contrast_agent: str
    angio_flag: str
    scanning_sequence: tuple[str, ...]
    acquisition_type: str
    patient_age: str
    repetition_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    field_strength_t: float | None


@dataclass(frozen=True, slots=True)
class Image:
    """One image: a classic file, or a frame of an enhanced one.

    Attributes:
        orientation: direction cosines of rows and columns (patient LPS), 6 values.
        position_mm: centre of the first voxel (patient LPS).
        moment: instance and acquisition number and times; equal ones mean copies of one image.
        pixel_digest: hash of the stored pixel bytes; empty for a frame.
    """

    identity: Identity
    protocol: Protocol
    sop_uid: str
    frame: int | None
    num_frames: int
    image_type: tuple[str, ...]
    orientation: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, ...]
    echo_time_ms: float | None
    b_value_s_mm2: float | None
    moment: tuple[str, ...]
    pixel_digest: str = ""

    @property
    def is_mosaic(self) -> bool:
        """Whether the image is a Siemens mosaic, all slices of a volume in one."""
        return "MOSAIC" in self.image_type
