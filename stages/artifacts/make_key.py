"""Make the secret key of a site: ``python -m stages.artifacts.make_key /safe/place/site.key``."""

from __future__ import annotations

import argparse
import logging
import subprocess
from pathlib import Path

from stages.artifacts.identity import write_new_key

logger = logging.getLogger(__name__)


def make_key(path: Path, repository: Path) -> None:
    """Write a new site key and keep DVC's own cache of file names next to it.

    DVC remembers the names of the files that it hashed in a cache that every user of the machine
    can read; with a site key that cache moves beside the key, into a folder of the owner's.

    Args:
        path: where the key goes.
        repository: root of the repository that uses it.

    Raises:
        ValueError: if the key would lie where git could pick it up.
        FileExistsError: if there is a key already.
    """
    path = path.expanduser().resolve()
    if path.is_relative_to(repository.resolve()) and not _is_ignored(path, repository):
        raise ValueError(f"{path} lies inside the repository, where git would pick it up; choose a folder outside")
    write_new_key(path)
    cache = path.parent / "dvc-site-cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["dvc", "config", "--local", "core.site_cache_dir", str(cache)], cwd=repository, check=True)
    logger.info("site key written to %s; set cohort.site_key in params.yaml, and keep a safe copy", path)


def _is_ignored(path: Path, repository: Path) -> bool:
    command = ["git", "-C", str(repository), "check-ignore", "--quiet", str(path)]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where the key goes, outside the repository")
    arguments = parser.parse_args()
    try:
        make_key(arguments.path, Path.cwd())
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
