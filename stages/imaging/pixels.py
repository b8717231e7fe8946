"""Whether the pixel data of a DICOM file can be what its header claims, told without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from stages.imaging.elements import Elements
from stages.imaging.ledger import SetAside

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE_SYNTAXES = frozenset({"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN})
# Run lengths, JPEG (8 and 12 bits, lossless), JPEG-LS, JPEG 2000 and its high-throughput form.
_COMPRESSED_SYNTAXES = frozenset(
    ["1.2.840.10008.1.2.5"]
    + [f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)]
)
# No file of an MR scanner claims more.
_MAX_CLAIMED_BYTES = 2**34
# Writers pad pixel data to an even length, some to a block of theirs.
_MAX_PADDING_BYTES = 1024
_UNDEFINED = 0xFFFFFFFF
_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_SUBSAMPLED = "YBR_FULL_422"
# First bytes of JPEG 2000 data; markers before the size of a JPEG or JPEG-LS image.
_CODESTREAM = b"\xff\x4f\xff\x51"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


@dataclass(frozen=True, slots=True)
class Format:
    """How the pixels of a file are laid out, as its header claims."""

    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    is_subsampled: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame when decoded."""
        return ceil(self.rows * self.columns * self.samples * self.bits / 8)

    @property
    def native_bytes(self) -> int:
        """Bytes of all frames as they are stored without compression."""
        total = self.rows * self.columns * self.samples * self.bits * self.frames
        return ceil(total / 8 * 2 / 3) if self.is_subsampled else ceil(total / 8)


def read_format(root: Elements) -> Format:
    """Read how the pixels are laid out.

    Raises:
        SetAside: ``damaged_dicom`` if the header gives no number of bits, or an impossible number of frames.
    """
    frames = root.number("NumberOfFrames")
    bits = int(root.number("BitsAllocated") or 0)
    frames = 1 if frames is None else frames
    if bits not in (1, 8, 16, 32, 64) or frames < 1:
        raise SetAside("damaged_dicom")
    return Format(
        rows=int(root.number("Rows") or 0),
        columns=int(root.number("Columns") or 0),
        samples=int(root.number("SamplesPerPixel") or 1),
        bits=bits,
        frames=int(frames),
        is_subsampled=root.text("PhotometricInterpretation") == _SUBSAMPLED,
    )


def is_compressed(syntax: str) -> bool:
    """Whether pixels are stored compressed (or the whole file deflated)."""
    return syntax not in NATIVE_SYNTAXES


def is_supported(syntax: str) -> bool:
    """Whether a transfer syntax can be decoded."""
    return syntax in NATIVE_SYNTAXES or syntax in _COMPRESSED_SYNTAXES or syntax == DEFLATED


def check_pixels(element: memoryview, claimed: Format, syntax: str, encoding: tuple[bool, bool]) -> None:
    """Check that the pixel data is there, to its end, and as long as the header claims.

    Args:
        element: the file from the tag of its pixel data on.
        claimed: layout that the header claims.
        syntax: transfer syntax.
        encoding: whether elements lack their value representation, and whether they are little-endian.

    Raises:
        SetAside: ``image_too_large``, ``truncated_pixels`` or ``wrong_length``.
    """
    if claimed.native_bytes > _MAX_CLAIMED_BYTES:
        raise SetAside("image_too_large")
    is_implicit, is_little_endian = encoding
    start = 8 if is_implicit else 12
    if len(element) < start:
        raise SetAside("truncated_pixels")
    (length,) = struct.unpack_from("<I" if is_little_endian else ">I", element, start - 4)
    value = element[start:]
    if syntax in _COMPRESSED_SYNTAXES:
        if length != _UNDEFINED:
            raise SetAside("wrong_length")
        _check_fragments(value, claimed)
        return
    if len(value) < claimed.native_bytes:
        raise SetAside("truncated_pixels")
    if not claimed.native_bytes <= length <= claimed.native_bytes + _MAX_PADDING_BYTES:
        raise SetAside("wrong_length")


def _check_fragments(value: memoryview, claimed: Format) -> None:
    """Check that the last fragment is complete, that no frame lacks one, and that none decodes to more."""
    num_fragments = 0
    for number, fragment in enumerate(_fragments(value)):
        # The first item is a table of offsets, not a fragment.
        if number:
            num_fragments += 1
            _check_codestream(fragment, claimed)
    if num_fragments < claimed.frames:
        raise SetAside("truncated_pixels")


def _fragments(value: memoryview) -> Iterator[memoryview]:
    start = 0
    # The delimiter at the end is often left out.
    while start + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHI", value, start)
        tag = group << 16 | element
        if tag == _DELIMITER:
            return
        if tag != _ITEM:
            raise SetAside("wrong_length")
        if start + 8 + length > len(value):
            raise SetAside("truncated_pixels")
        yield value[start + 8 : start + 8 + length]
        start += 8 + length


def _check_codestream(fragment: memoryview, claimed: Format) -> None:
    """Check that JPEG data has about the size that the header says: decoders reserve what the data says."""
    width, height = _coded_size(fragment)
    if width * height > 2 * claimed.rows * claimed.columns:
        raise SetAside("damaged_pixels")


def _coded_size(fragment: memoryview) -> tuple[int, int]:
    """Width and height in the header of JPEG 2000, JPEG or JPEG-LS data; 0, 0 for a later fragment."""
    if fragment[:4] == _CODESTREAM and len(fragment) >= 16:
        width, height = struct.unpack_from(">II", fragment, 8)
        return width, height
    start = 2 if fragment[:2] == b"\xff\xd8" else len(fragment)
    while start + 9 <= len(fragment):
        _, marker, length, _, height, width = struct.unpack_from(">BBHBHH", fragment, start)
        if marker in _FRAME_MARKERS:
            return width, height
        start += 2 + max(length, 2)
    return 0, 0
