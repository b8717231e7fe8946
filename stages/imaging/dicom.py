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
    angio_flag: str
    scanning_sequence: tuple[str, ...]
    acquisition_type: str
    patient_age: str
    field_strength_t: float | None


@dataclass(frozen=True, slots=True)
class Weighting:
    """What may change between the acquisitions that share a series."""

    repetition_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    contrast_agent: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image: a classic file, or a frame of an enhanced one.

    Attributes:
        orientation: direction cosines of rows and columns (patient LPS), 6 values; None unless they are
            unit vectors at a right angle.
        position_mm: centre of the first voxel (patient LPS).
        pixel_spacing_mm: distance of rows, distance of columns.
        num_bytes: bytes of a frame when decoded, as the header claims.
        stack: StackID of a frame.
        echo_number: EchoNumbers; tells echoes apart where there is no echo time.
        moment: instance and acquisition number and times; equal ones mean copies of one image.
        num_tiles: slices in a mosaic; 0 where the header does not tell.
        pixel_digest: hash of the stored pixel bytes; empty for a frame.
    """

    identity: Identity
    protocol: Protocol
    weighting: Weighting
    sop_uid: str
    frame: int | None
    num_frames: int
    image_type: tuple[str, ...]
    orientation: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    rows: int
    columns: int
    num_bytes: int
    is_colour: bool
    has_burned_in_text: bool
    pixel_spacing_mm: tuple[float, ...]
    echo_time_ms: float | None
    echo_number: str
    b_value_s_mm2: float | None
    stack: str
    moment: tuple[str, ...]
    num_tiles: int = 0
    pixel_digest: str = ""

    @property
    def is_mosaic(self) -> bool:
        """Whether the image is a Siemens mosaic, all slices of a volume in one."""
        return "MOSAIC" in self.image_type

    @property
    def acquisition_number(self) -> str:
        """Number of the acquisition that the image belongs to; some scanners count slices with it."""
        return self.moment[1]
