"""Copies of this repository in which whole pipelines run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from imports import ROOT
from ruamel.yaml import YAML

COMMIT = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm")


def copy_repository(folder, values, objectives):
    """Copy the working tree without its results, with other parameters, into a git repository of its own.

    Args:
        folder: where the copy goes.
        values: parameters to change, by section.
        objectives: the objectives that are kept.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        is_result = (name.startswith("results/") and name != "results/dvc.yaml") or name.endswith("dvc.lock")
        if not is_result and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    change_params(folder / "params.yaml", values, objectives)
    run(folder, "git", "init", "-q")
    commit(folder)


def change_params(path, values, objectives):
    """Set parameters, and leave all but some objectives out."""
    yaml = YAML()
    params = yaml.load(path.read_text(encoding="utf-8"))
    for section, changed in values.items():
        params[section].update(changed)
    for name in [name for name in params["objectives"] if name not in objectives]:
        del params["objectives"][name]
    for section in params.values():
        if isinstance(section.get("objectives"), list):
            section["objectives"] = [name for name in section["objectives"] if name in objectives]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def commit(folder):
    """Commit all that git does not ignore."""
    run(folder, "git", "add", "-A")
    run(folder, *COMMIT, "state")


def run(folder, *command, check=True, environment=None):
    """Run a command in a copy, with the tests' Python and a DVC site cache beside the copy.

    Returns:
        What it printed.
    """
    defaults = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site-cache"),
        "OMP_NUM_THREADS": "2",
    }
    variables = {**os.environ, **defaults, **(environment or {})}
    variables = {name: value for name, value in variables.items() if value is not None}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output[-4000:]
    return output


def stages_run(output):
    """Read from the output of ``dvc repro`` which stages ran."""
    return set(re.findall(r"Running stage '(?:[^']*:)?([^']+)'", output))
