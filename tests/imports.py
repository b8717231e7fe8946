"""What a stage imports from the repository, directly and indirectly.

Run as a script, it writes the code dependencies of every stage into the ``dvc.yaml`` files.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = (ROOT / "dvc.yaml", ROOT / "data" / "dvc.yaml")
# Imported by name at run time, one file per objective: `pretrain` declares only its own.
OBJECTIVES = "stages/pretraining/objectives/"
# Data that a module reads from its own folder, beside which lexicon `params.yaml` chooses.
DATA_OF_MODULE = {
    "stages/reports/lexicon.py": ["stages/reports/lexicon/languages"],
    "stages/simulation/phrases.py": sorted(
        str(path.relative_to(ROOT)) for path in (ROOT / "stages" / "simulation").glob("*.yaml")
    ),
}


def module_file(name: str) -> Path | None:
    """File of a dotted module name of this repository, if it is one."""
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


@cache
def direct_imports(file: Path) -> frozenset[Path]:
    """Files of this repository that a file imports, at any depth of its syntax tree."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = {module_file(name) for name in names if name.split(".")[0] == "stages"}
    return frozenset(path for path in found if path)


def closure(file: Path) -> list[str]:
    """Files of this repository, relative to its root, that run when a file is run."""
    seen: set[Path] = set()
    queue = [file]
    while queue:
        current = queue.pop()
        if current not in seen:
            seen.add(current)
            queue += direct_imports(current)
    files = {str(path.relative_to(ROOT)) for path in seen}
    return sorted(files.union(*(DATA_OF_MODULE.get(name, []) for name in files)))


def stage_file(command: str) -> Path:
    """File of the stage that a ``dvc.yaml`` command runs."""
    words = command.split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def stages_of(pipeline: Path) -> dict[str, dict]:
    """Stage name → definition (the body of ``do`` for ``foreach``)."""
    stages = YAML().load(pipeline.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def is_code(dep: str) -> bool:
    """Whether a declared dependency is one that ``closure`` finds."""
    return dep.startswith("stages/") and "${" not in dep


def method_closure(name: str) -> list[str]:
    """Files that every objective shares, for the stage that imports one by name."""
    shared = closure(ROOT / f"{OBJECTIVES}base.py") if (ROOT / f"{OBJECTIVES}base.py").exists() else []
    if name == "audit_negatives":
        return [*shared, OBJECTIVES.rstrip("/")]
    return shared if name in {"pretrain"} else []


def expected_code(name: str, command: str) -> list[str]:
    """Code dependencies that a stage should declare."""
    return sorted(set(closure(stage_file(command))) | set(method_closure(name)))


def rewrite(pipeline: Path) -> None:
    """Replace the code dependencies of every stage by what it imports."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(pipeline.read_text(encoding="utf-8"))
    for name, entry in document["stages"].items():
        stage = entry.get("do", entry)
        deps = stage["deps"]
        for index in reversed(range(len(deps))):
            if is_code(deps[index]):
                del deps[index]
        for index, file in enumerate(expected_code(name, stage["cmd"])):
            deps.insert(index, file)
    with pipeline.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    for path in PIPELINES:
        rewrite(path)
