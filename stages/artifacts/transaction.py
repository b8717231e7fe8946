"""Replace several outputs of a folder together, so that a run killed at any moment leaves no mixture.

What is new is built in one folder, which is renamed when it is complete. Only then do the old outputs go and
the new ones take their places; a run that ends in between is completed by the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stages.artifacts.disk import full_disk_named

# Both names are kept out of DVC and git by their ending.
_NEW = "new.partial"
_READY = "ready.partial"
_OLD = "old.partial"


@contextmanager
def replaced_together(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder to build outputs in; they replace the old ones when it is left without an error.

    Args:
        out: folder of the outputs.
        names: the outputs, files or folders, in the order in which they appear; the one that readers open
            first comes last, so that they find all or, for an instant, nothing.

    Yields:
        An empty folder.

    Raises:
        DiskFullError: if the disk is full; the old outputs are as they were.
    """
    with full_disk_named(out):
        complete(out, names)
        new = out / _NEW
        new.mkdir(parents=True)
        try:
            yield new
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        os.replace(new, out / _READY)
        complete(out, names)


def complete(out: Path, names: Sequence[str]) -> None:
    """Complete a replacement that was decided on, and drop one that was not.

    Args:
        out: folder of the outputs.
        names: the outputs, as given to ``replaced_together``.
    """
    shutil.rmtree(out / _NEW, ignore_errors=True)
    ready, old = out / _READY, out / _OLD
    if ready.is_dir():
        old.mkdir(exist_ok=True)
        for name in reversed(names):
            # What was moved already lies in place and is not to be moved aside.
            if (ready / name).exists() and (out / name).exists():
                _move_aside(out / name, old / name)
        for name in names:
            if (ready / name).exists():
                os.replace(ready / name, out / name)
        shutil.rmtree(ready)
    shutil.rmtree(old, ignore_errors=True)


def _move_aside(path: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(path, target)
