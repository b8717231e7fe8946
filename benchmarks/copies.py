"""Run the pipeline under other parameters, in a copy of the repository that shares its cache.

What the repository has computed already is taken from DVC's cache; what differs is computed in the
copy. The copy stays in `work/`, so that a killed run is taken up where it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
# Kept between runs: the copy's own record of what it has computed.
_OWN_FILES = ("dvc.lock", "data/dvc.lock", "results/dvc.lock")
PIPELINE_FILES = ("dvc.yaml", "dvc.lock")


def read_yaml(path: Path) -> Any:
    """Read a YAML file by the rules that DVC applies, keeping its comments."""
    return YAML().load(path.read_text(encoding="utf-8"))


def change(params: Any, dotted: str, value: Any) -> None:
    """Set one parameter in place.

    Args:
        params: content of the parameter file.
        dotted: path of the parameter; ``+`` before it adds one that the file does not name.
        value: new value.

    Raises:
        KeyError: if the file has no such parameter, or has one that is to be added.
    """
    *parents, name = dotted.removeprefix("+").split(".")
    node = params
    for part in parents:
        if part not in node and dotted.startswith("+"):
            node[part] = {}
        node = node[part]
    if (name in node) == dotted.startswith("+"):
        expected = "a new one" if name in node else f"one of {sorted(node)}"
        raise KeyError(f"{dotted}: expected {expected}; correct the name or the plus sign")
    node[name] = value


def experiment(changes: Mapping[str, Any]) -> str:
    """The command line that makes the same changes in the repository itself."""
    words = [f"-S {dotted}={_in_words(value)}" for dotted, value in changes.items()]
    return " ".join(["dvc exp run", *words])


def is_result(name: str) -> bool:
    """Tell whether a tracked file is a result, which a copy makes anew; the pipeline beside them is none."""
    return name.startswith("results/") and Path(name).name not in PIPELINE_FILES


def make_copy(folder: Path, params: Any) -> None:
    """Bring a copy up to date with the working tree, and give it its parameters and the shared cache."""
    folder.mkdir(parents=True, exist_ok=True)
    names = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in names:
        is_kept = name in _OWN_FILES and (folder / name).exists()
        if (ROOT / name).is_file() and not is_kept and not is_result(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    if not (folder / ".git").is_dir():
        _git(folder, "init", "--quiet")
        # DVCLive asks for a commit to compare with.
        author = ("-c", "user.name=copy", "-c", "user.email=copy@localhost")
        _git(folder, "add", "--all")
        _git(folder, *author, "commit", "--quiet", "--message", "Copy of the working tree")
    cache = subprocess.run(["dvc", "cache", "dir"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    run(folder, "dvc", "cache", "dir", "--local", cache)
    # Trainings are kept by the hash of what they depend on: equal ones are not repeated.
    if not (folder / "work").exists():
        (ROOT / "work").mkdir(exist_ok=True)
        (folder / "work").symlink_to(ROOT / "work")


def run(folder: Path, *command: str) -> None:
    """Run a command in a copy, with this environment's programs first.

    Raises:
        subprocess.CalledProcessError: if it fails; its output says why.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PATH": path})


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def _in_words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
