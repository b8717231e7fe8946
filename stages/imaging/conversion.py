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
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from stages.imaging import archives
from stages.imaging.archives import Location
from stages.imaging.decoding import rewrite
from stages.imaging.ledger import SetAside

# Raise it when the same input and the same dcm2niix would give other bytes.
_CACHE_VERSION = 1
_TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
_HEADER_BYTES = 348
_DATA_OFFSET = 352
# Creating files is most of the work for small slices; in memory it costs a tenth. Decoded slices and
# the volume take several times the bytes that came in, and other processes want their share.
_MEMORY_FOLDER = Path("/dev/shm")
_MEMORY_SHARE = 50
_SCRATCH_PREFIX = "convert_dicom-"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that goes into a series.

    Attributes:
        location: where it lies.
        digest: hash of its bytes.
        frames: the frames that belong to the series; None for the whole file.
        is_rewritten: whether dcm2niix needs it decompressed or completed first.
    """

    location: Location
    digest: str
    frames: tuple[int, ...] | None
    is_rewritten: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A series to convert.

    Attributes:
        number: number of its group.
        series_id: keyed hash, names the NIfTI file.
        sources: its files in the order of their positions.
        num_voxels: how many the volume must have; None where the header does not tell (mosaics).
    """

    number: int
    series_id: str
    sources: tuple[Source, ...]
    num_voxels: int | None

    @property
    def cache_key(self) -> str:
        """Hash of everything that decides the result."""
        parts = [f"{s.digest}:{s.frames}:{s.is_rewritten}" for s in self.sources]
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
    """Converts jobs: where it reads, keeps and writes, and how long dcm2niix may take."""

    root: Path
    cache: Path
    nifti: Path
    timeout_s: float

    def convert(self, job: Job) -> Outcome:
        """Convert a series, or take it from the cache; a failure is an outcome with its reason."""
        key = job.cache_key
        cached = self.cache / key[:2] / f"{key}.nii.gz"
        try:
            if not cached.is_file():
                self._fill(cached, job)
        except SetAside as outcome:
            return Outcome(job.number, outcome.reason)
        data = cached.read_bytes()
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
        scratch = _scratch_folder(sum(source.location.size for source in job.sources))
        with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=scratch) as folder:
            inside, outside = Path(folder, "in"), Path(folder, "out")
            inside.mkdir()
            outside.mkdir()
            for number, source in enumerate(job.sources):
                _stage(self.root, source, inside / f"{number:06d}.dcm")
            raw = _run_dcm2niix(inside, outside, self.timeout_s)
        data = _anonymous(raw, job.num_voxels)
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_name(f"{cached.name}.{os.getpid()}.partial")
        partial.write_bytes(data)
        os.replace(partial, cached)


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


def remove_stale_scratch(max_age_s: float) -> None:
    """Remove what killed runs left behind: it holds the DICOM files of a series, names and all."""
    for base in {_MEMORY_FOLDER, Path(tempfile.gettempdir())}:
        for folder in base.glob(f"{_SCRATCH_PREFIX}*"):
            if time.time() - folder.lstat().st_mtime > max_age_s:
                shutil.rmtree(folder, ignore_errors=True)


def _scratch_folder(num_bytes: int) -> str | None:
    """Folder for the files of one series: in memory where there is room, else the system's."""
    try:
        has_room = shutil.disk_usage(_MEMORY_FOLDER).free > _MEMORY_SHARE * num_bytes
    except OSError:
        return None
    return str(_MEMORY_FOLDER) if has_room and os.access(_MEMORY_FOLDER, os.W_OK) else None


def _stage(root: Path, source: Source, target: Path) -> None:
    """Put a file where dcm2niix reads it: linked, copied out of its archive, or written anew."""
    if source.is_rewritten or source.frames is not None:
        rewrite(archives.read(root, source.location), source.frames, target)
    elif source.location.kind == "file":
        target.symlink_to((root / source.location.path).resolve())
    else:
        target.write_bytes(archives.read(root, source.location))


def _run_dcm2niix(inside: Path, outside: Path, timeout_s: float) -> bytes:
    # -g i: no settings from a user's home. Its output names patients and is not looked at, but waiting
    # for a pipe to close is prompt, where waiting for a process with a timeout polls every 50 ms.
    options = ["-g", "i", "-b", "n", "-z", "n", "-f", "volume", "-o", str(outside), str(inside)]
    try:
        subprocess.run(
            [str(_binary()), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetAside("conversion_timeout") from None
    # It adds a resampled copy where gaps differ by more than its own tolerance, and overlays as volumes.
    volumes = sorted(path for path in outside.glob("*.nii") if not re.search("_Eq|_ROI", path.stem))
    if len(volumes) != 1:
        raise SetAside("conversion_ambiguous" if volumes else "conversion_failed")
    return volumes[0].read_bytes()


def _anonymous(raw: bytes, num_voxels: int | None) -> bytes:
    """Blank the text fields of a NIfTI header, drop its extensions and compress, the same bytes every time."""
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(raw), check=False)
    if num_voxels is not None and int(np.prod(header.get_data_shape(), dtype=np.int64)) != num_voxels:
        raise SetAside("conversion_incomplete")
    voxels = memoryview(raw)[int(header["vox_offset"]) :]
    for name in _TEXT_FIELDS:
        header[name] = b""
    header["vox_offset"] = _DATA_OFFSET
    plain = header.binaryblock + bytes(_DATA_OFFSET - _HEADER_BYTES) + bytes(voxels)
    return gzip.compress(plain, compresslevel=1, mtime=0)
