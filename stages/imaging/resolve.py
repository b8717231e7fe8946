"""Find, on site, the file behind a path hash of the ledger.

Run as ``python -m stages.imaging.resolve --dicom DIR --site-key FILE HASH``. The paths it prints can
hold identities: they are for the eyes of those who have the export anyway.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from stages.artifacts.identity import SiteKey
from stages.imaging import archives
from stages.imaging.folders import walk
from stages.imaging.ledger import SetAside, path_hash
from stages.imaging.settings import ConversionSettings

# Members are only listed here, none is read.
_NO_LIMITS = ConversionSettings(
    spacing_tolerance_mm=1,
    min_slices=1,
    max_archive_members=sys.maxsize,
    max_archive_gib=2.0**30,
    max_member_mib=2.0**40,
    series_timeout_s=1,
)


def resolve(dicom: Path, key: SiteKey, hashes: set[str]) -> Iterator[tuple[str, str]]:
    """Walk an export and yield each hash that is asked for with the path behind it."""
    missing = set(hashes)
    for path, member in _paths(dicom):
        if not missing:
            return
        found = path_hash(key, path, member)
        if found in missing:
            missing.discard(found)
            yield found, path if member is None else f"{path}!{member}"


def _paths(dicom: Path) -> Iterator[tuple[str, str | None]]:
    # What is a link in one run leads to files in another.
    for file in chain(walk(dicom, follow_links=True), walk(dicom, follow_links=False)):
        path = file.location.path
        yield path, None
        try:
            kind = archives.archive_kind(archives.read_head(dicom, path)) if not file.reason else None
            if kind is not None:
                yield from ((path, m.location.member) for m in archives.members(dicom, path, kind, _NO_LIMITS))
        except SetAside:
            continue


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the path behind each hash; the exit status is 1 if one was not found."""
    parser = argparse.ArgumentParser(prog="python -m stages.imaging.resolve", description=__doc__)
    parser.add_argument("--dicom", type=Path, required=True, help="folder that convert_dicom read")
    parser.add_argument("--site-key", type=Path, required=True, help="key file that convert_dicom used")
    parser.add_argument("hashes", nargs="+", metavar="HASH", help="path_hash of the ledger")
    options = parser.parse_args(arguments)
    wanted = set(options.hashes)
    for found, path in resolve(options.dicom, SiteKey.load(options.site_key), wanted):
        sys.stdout.write(f"{found} {path}\n")
        wanted.discard(found)
    return 1 if wanted else 0


if __name__ == "__main__":
    sys.exit(main())
