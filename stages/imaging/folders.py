"""Every file of an export in a fixed order, each once, whatever links and permissions make of the tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from stages.imaging.archives import Found, Location

_Identity = tuple[int, int]


def walk(root: Path, *, follow_links: bool) -> Iterator[Found]:
    """List what lies below a folder: the files of a folder sorted by name, then its subfolders.

    A link to something below the root is not followed, for that is found at its own place; a link that leads
    elsewhere is, if wanted, unless its target was found before. So no loop of links is walked twice.

    Args:
        root: the folder.
        follow_links: whether links that leave it are followed.

    Yields:
        Every file, and, with a reason, every link and folder that is not entered.
    """
    return _Walk(root, follow_links=follow_links).files()


class _Walk:
    def __init__(self, root: Path, *, follow_links: bool) -> None:
        self._root = root
        self._real = root.resolve()
        self._follow_links = follow_links
        # Folders, and files that a link led to.
        self._visited: set[_Identity] = set()

    def files(self) -> Iterator[Found]:
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self._root / folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
                self._visited.add(_identity((self._root / folder).stat()))
            except OSError:
                yield Found(Location(folder or "."), "unreadable_folder")
                continue
            below: list[str] = []
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                found, is_folder = self._look(entry, path)
                if is_folder and found.reason is None:
                    below.append(path)
                else:
                    yield found
            pending.extend(reversed(below))

    def _look(self, entry: os.DirEntry[str], path: str) -> tuple[Found, bool]:
        """Tell what an entry is, why it is not to be read, if so, and whether it is a folder."""
        try:
            status = entry.stat()
        except PermissionError:
            return Found(Location(path), "unreadable_file"), False
        except OSError:
            return Found(Location(path), "special_file"), False
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            return Found(Location(path), "special_file"), False
        reason = self._reason_of_link(entry) if entry.is_symlink() else None
        if reason is None and (is_folder or entry.is_symlink()):
            identity = _identity(status)
            reason = "linked_again" if identity in self._visited else None
            self._visited.add(identity)
        return Found(Location(path, size=0 if is_folder else status.st_size), reason), is_folder

    def _reason_of_link(self, entry: os.DirEntry[str]) -> str | None:
        target = Path(entry.path).resolve()
        if target.is_relative_to(self._real) or self._real.is_relative_to(target):
            return "linked_again"
        return None if self._follow_links else "link_outside"


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino
