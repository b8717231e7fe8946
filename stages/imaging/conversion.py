"""Convert one series with dcm2niix, in a process of its own, through a cache of what was converted before.

The cache holds finished NIfTI files only, named by a hash of the bytes that went in and of what made
them: no identifiers, and nothing half-written.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from stages.artifacts import disk
from stages.artifacts.disk import DiskFullError
from stages.artifacts.watchdog import end_with_parent
from stages.imaging import archives
from stages.imaging.archives import Location
from stages.imaging.decoding import rewrite
from stages.imaging.geometry import Affine, placed_affine
from stages.imaging.ledger import SetAside
from stages.imaging.scratch import places, scratch_folder

# Raise it when the same input and the same dcm2niix would give other bytes.
_CACHE_VERSION = 2
_TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
_HEADER_BYTES = 348
_DATA_OFFSET = 352
_NOT_ACQUIRED = re.compile("_(?:Eq|Tilt|ROI)")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that goes into a series.

    Attributes:
        location: where it lies.
        digest: hash of its bytes.
        frames: the frames that belong to the series; None for the whole file.
        is_rewritten: whether dcm2niix needs it decompressed or completed first.
        instance_number: number to give it; None keeps its own.
        echo_time_ms: echo time to give it; None keeps its own.
    """

    location: Location
    digest: str
    frames: tuple[int, ...] | None
    is_rewritten: bool
    instance_number: int | None = None
    echo_time_ms: float | None = None

    @property
    def cache_key(self) -> str:
        """What of it decides the result."""
        echo = "" if self.echo_time_ms is None else f":{self.echo_time_ms}"
        return f"{self.digest}:{self.frames}:{self.is_rewritten}:{self.instance_number}{echo}"


@dataclass(frozen=True, slots=True)
class Job:
    """A series to convert.

    Attributes:
        number: number of its group.
        series_id: keyed hash, names the NIfTI file.
        sources: its files in the order of their positions.
        num_voxels: how many the volume must have; None where the header does not tell (mosaics).
        affine: where the volume must lie; None where the header does not tell.
    """

    number: int
    series_id: str
    sources: tuple[Source, ...]
    num_voxels: int | None
    affine: Affine | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of its files, or of its voxels if they take more."""
        return max(sum(source.location.size for source in self.sources), 2 * (self.num_voxels or 0))

    @property
    def cache_key(self) -> str:
        """Hash of everything that decides the result."""
        parts = [source.cache_key for source in self.sources]
        versions = f"{_CACHE_VERSION} {_dcm2niix_version()}"
        return hashlib.sha256("\n".join([versions, *parts]).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: a reason, or the NIfTI file's grid (voxels and mm along its axes) and hash."""

    number: int
    reason: str | None = None
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Converter:
    """Converts jobs: where it reads, keeps and writes."""

    root: Path
    cache: Path
    nifti: Path

    def cached(self, job: Job) -> Path:
        """Where the cache keeps the volume of a series."""
        key = job.cache_key
        return self.cache / key[:2] / f"{key}.nii.gz"

    def convert(self, job: Job) -> Outcome:
        """Convert a series, or take it from the cache; a failure is an outcome with its reason.

        Raises:
            DiskFullError: if there is no room for it.
        """
        cached = self.cached(job)
        try:
            if not cached.is_file():
                self._fill(cached, job)
        except SetAside as outcome:
            return Outcome(job.number, outcome.reason)
        data = cached.read_bytes()
        with disk.full_disk_named(self.nifti):
            (self.nifti / f"{job.series_id}.nii.gz").write_bytes(data)
        with gzip.open(io.BytesIO(data)) as file:
            header = nib.Nifti1Header.from_fileobj(file, check=False)
        return Outcome(
            job.number,
            None,
            tuple(int(n) for n in header.get_data_shape()[:3]),
            tuple(float(mm) for mm in header.get_zooms()[:3]),
            hashlib.sha256(data).hexdigest(),
        )

    def _fill(self, cached: Path, job: Job) -> None:
        data = _anonymous(self._raw_volume(job), job)
        with disk.replacing(cached, mark=f".{os.getpid()}") as partial:
            partial.write_bytes(data)

    def _raw_volume(self, job: Job) -> bytes:
        *others, last = places(job.num_bytes)
        for place in others:
            with suppress(DiskFullError):
                return self._convert_in(place, job)
        return self._convert_in(last, job)

    def _convert_in(self, place: Path, job: Job) -> bytes:
        with disk.full_disk_named(place), scratch_folder(place) as folder:
            inside, outside = folder / "in", folder / "out"
            inside.mkdir()
            outside.mkdir()
            for number, source in enumerate(job.sources):
                _stage(self.root, source, inside / f"{number:06d}.dcm")
            return _run_dcm2niix(inside, outside, job.num_bytes)


def find_dcm2niix() -> Path:
    """Find the dcm2niix binary; its Python wrapper would cost more than a small conversion.

    Raises:
        FileNotFoundError: if it is not installed.
    """
    spec = importlib.util.find_spec("dcm2niix")
    candidates = [Path(folder, "dcm2niix") for folder in (spec.submodule_search_locations or [] if spec else [])]
    on_path = shutil.which("dcm2niix")
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError("no dcm2niix binary; install it with `pip install dcm2niix`")


_binary = functools.cache(find_dcm2niix)


@functools.cache
def _dcm2niix_version() -> str:
    return importlib.metadata.version("dcm2niix")


def _stage(root: Path, source: Source, target: Path) -> None:
    """Put a file where dcm2niix reads it: linked, copied out of its archive, or written anew."""
    data = archives.read(root, source.location)
    # The cache is named by what was read at first.
    if archives.digest_of(data) != source.digest:
        raise SetAside("changed_during_run")
    changes = (source.frames, source.instance_number, source.echo_time_ms)
    if source.is_rewritten or changes != (None, None, None):
        rewrite(data, source.frames, target, source.instance_number, source.echo_time_ms)
    elif source.location.kind == "file":
        target.symlink_to((root / source.location.path).resolve())
    else:
        target.write_bytes(data)


def _run_dcm2niix(inside: Path, outside: Path, num_bytes: int) -> bytes:
    # -g i: no settings from a user's home. Its output names patients and is not looked at. It shares the
    # bounds of this process on time and memory, and its end.
    options = ["-g", "i", "-b", "n", "-z", "n", "-f", "volume", "-o", str(outside), str(inside)]
    nothing = subprocess.DEVNULL
    end = functools.partial(end_with_parent, os.getpid())
    command = [str(_binary()), *options]
    subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False, preexec_fn=end)
    # It adds resampled copies where gaps differ by more than its own tolerance or slices are tilted, and overlays.
    volumes = sorted(path for path in outside.glob("*.nii") if not _NOT_ACQUIRED.search(path.stem))
    if len(volumes) > 1:
        raise SetAside("conversion_ambiguous")
    raw = volumes[0].read_bytes() if volumes else b""
    if not _is_whole(raw):
        # It goes on when the disk is full, with a part of the volume or none.
        disk.require_space(outside, num_bytes)
        raise SetAside("conversion_incomplete" if volumes else "conversion_failed")
    return raw


def _is_whole(raw: bytes) -> bool:
    if len(raw) < _HEADER_BYTES:
        return False
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(raw), check=False)
    num_bytes = int(np.prod(header.get_data_shape(), dtype=np.int64)) * int(header["bitpix"]) // 8
    return len(raw) >= int(header["vox_offset"]) + num_bytes


def _anonymous(raw: bytes, job: Job) -> bytes:
    """Check the size and place of a volume, blank the texts of its header and compress it, always to the same bytes."""
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(raw), check=False)
    shape = header.get_data_shape()
    if job.num_voxels is not None and int(np.prod(shape, dtype=np.int64)) != job.num_voxels:
        raise SetAside("conversion_incomplete")
    if job.affine is not None:
        _place(header, job.affine)
    voxels = memoryview(raw)[int(header["vox_offset"]) :]
    for name in _TEXT_FIELDS:
        header[name] = b""
    header["vox_offset"] = _DATA_OFFSET
    plain = header.binaryblock + bytes(_DATA_OFFSET - _HEADER_BYTES) + bytes(voxels)
    return gzip.compress(plain, compresslevel=1, mtime=0)


def _place(header: nib.Nifti1Header, expected: Affine) -> None:
    """Check where a volume lies; slices of a tilted gantry get the sheared affine that dcm2niix leaves out."""
    found = header.get_best_affine()
    placed = placed_affine(found, header.get_data_shape(), expected)
    if placed is not found:
        header.set_qform(None, code=0)
        header.set_sform(placed, code=1)
        zooms = header.get_zooms()
        header.set_zooms((*np.linalg.norm(placed[:3, :3], axis=0), *zooms[3:]))
