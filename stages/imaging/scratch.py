"""Folders for the files of one series while it is converted: in memory where there is room, and never left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Creating files is most of the work for small slices; in memory it costs a tenth. Decoded slices and
# the volume take several times the bytes that came in, and other processes want their share.
_MEMORY_FOLDER = Path("/dev/shm")
_MEMORY_SHARE = 50
_PREFIX = "convert_dicom-"


def places(num_bytes: int) -> list[Path]:
    """Where the files of a series of that size can be put, the best place first."""
    system = Path(tempfile.gettempdir())
    try:
        has_room = shutil.disk_usage(_MEMORY_FOLDER).free > _MEMORY_SHARE * num_bytes
    except OSError:
        return [system]
    return [_MEMORY_FOLDER, system] if has_room and os.access(_MEMORY_FOLDER, os.W_OK) else [system]


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """Make a folder that is removed afterwards, or by the next run if this process is killed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        with suppress(FileNotFoundError):  # another run may have taken it for left behind before it is locked
            handle = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks; what is left behind there stays
                fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.is_dir():
                break
            os.close(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_stale_scratch() -> None:
    """Remove what killed runs left behind: it holds the DICOM files of a series, names and all."""
    for base in {_MEMORY_FOLDER, Path(tempfile.gettempdir())}:
        for folder in base.glob(f"{_PREFIX}*"):
            with suppress(OSError):  # another user's, or gone by now
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        # The lock of a process goes with it, however it ends.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
