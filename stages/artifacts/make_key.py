"""Make the secret key of a site: ``python -m stages.artifacts.make_key /safe/place/site.key``."""

from __future__ import annotations

import argparse
import logging
import subprocess
from pathlib import Path

from stages.artifacts.identity import write_new_key

logger = logging.getLogger(__name__)


def make_key(path: Path, repository: Path, link: Path | None = None) -> None:
    """Write a new site key and keep DVC's own cache of file names next to it.

    DVC remembers the names of the files that it hashed in a cache that every user of the machine
    can read; with a site key that cache moves beside the key, into a folder of the owner's.

    Args:
        path: where the key goes.
        repository: root of the repository that uses it.
        link: where in the repository to link to the key, so that no file names the key's folder.

    Raises:
        ValueError: if the key or its link would lie where git could pick it up.
        FileExistsError: if there is a key already.
    """
    path = path.expanduser().resolve()
    link = repository.resolve() / link if link else None
    for place in (path, link):
        if place and place.is_relative_to(repository.resolve()) and not _is_ignored(place, repository):
            raise ValueError(f"{place} lies inside the repository, where git would pick it up; choose a folder outside")
    if link and link.is_symlink():
        raise FileExistsError(f"{link} links to a key already; a new key would change every id, so it is left as it is")
    write_new_key(path)
    if link:
        link.symlink_to(path)
    cache = path.parent / "dvc-site-cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    used = link.relative_to(repository.resolve()) if link else path
    subprocess.run(["dvc", "config", "--local", "core.site_cache_dir", str(cache)], cwd=repository, check=True)
    logger.info("site key written; set cohort.site_key to %s in params.yaml, and keep a safe copy", used)


def _is_ignored(path: Path, repository: Path) -> bool:
    command = ["git", "-C", str(repository), "check-ignore", "--quiet", str(path)]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where the key goes, outside the repository")
    parser.add_argument("--link", type=Path, help="git-ignored path in the repository that links to the key")
    arguments = parser.parse_args()
    try:
        make_key(arguments.path, Path.cwd(), arguments.link)
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
