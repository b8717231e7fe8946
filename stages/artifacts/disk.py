"""Write files whole or not at all, say plainly when the disk is full, and forget what a cache no longer needs."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
_SECONDS_PER_DAY = 86_400
# What the system says when there is no room, or none for this user.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFullError(OSError):
    """There is no room left where something is written; the run ends, for nothing that follows could be kept."""

    @classmethod
    def at(cls, path: Path, num_bytes: int = 0) -> DiskFullError:
        """Say where the disk is full, and how much was to be written there, if known."""
        needed = f"; about {num_bytes / 2**30:.1f} GiB were to be written" if num_bytes > 2**28 else ""
        message = (
            f"{path}: the disk is full or a quota is used up{needed}; free space there, or move it to a larger disk, "
            "and run again: what was finished is kept, nothing was replaced by a part of itself"
        )
        return cls(errno.ENOSPC, message)


def is_full(error: OSError) -> bool:
    """Whether an error of the system says that the disk is full."""
    return error.errno in FULL


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn a full disk into ``DiskFullError`` with the place that is full.

    Raises:
        DiskFullError: if the disk is full within.
    """
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        if not is_full(error):
            raise
        raise DiskFullError.at(path) from None


@contextmanager
def replacing(path: Path, mark: str = "") -> Iterator[Path]:
    """Give the name under which a file is written; it takes its place once all went well.

    Args:
        path: the file that is made or replaced.
        mark: tells apart the partial files of several writers.

    Yields:
        A name beside it that ends in ``.partial``.

    Raises:
        DiskFullError: if the disk is full; the file is as it was, and the partial one is gone.
    """
    partial = path.with_name(f"{path.name}{mark}{PARTIAL}")
    with full_disk_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def require_space(folder: Path, num_bytes: int) -> None:
    """Stop before writing what cannot fit.

    Raises:
        DiskFullError: if fewer bytes are free.
    """
    if shutil.disk_usage(folder).free < num_bytes:
        raise DiskFullError.at(folder, num_bytes)


def prune(paths: Iterable[Path], is_used: Callable[[Path], bool], keep_days: float) -> int:
    """Remove from a cache the files that were not used for some days, and all partial ones.

    Args:
        paths: files of the cache; no other run may be writing to it.
        is_used: whether a file was used by the run that has just ended.
        keep_days: days since its last use for which another file is kept.

    Returns:
        How many files were removed.
    """
    now = time.time()
    num_removed = 0
    for path in sorted(paths):
        if is_used(path):
            _remember_use(path, now)
        elif path.name.endswith(PARTIAL) or now - path.stat().st_atime >= keep_days * _SECONDS_PER_DAY:
            path.unlink()
            num_removed += 1
    return num_removed


def _remember_use(path: Path, now: float) -> None:
    """Note the time of use where a disk mounted without access times would not."""
    os.utime(path, ns=(int(now * 1e9), path.stat().st_mtime_ns))
