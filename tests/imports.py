"""The repository under test: its pipelines, and what its files import."""

from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from stages.artifacts import code

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = (ROOT / "dvc.yaml", ROOT / "data" / "dvc.yaml", ROOT / "results" / "dvc.yaml")
OBJECTIVES = "stages/pretraining/objectives/"


@cache
def direct_imports(file: Path) -> set[Path]:
    """Files of this repository that a file imports."""
    return code.direct_imports(file, ROOT)


@cache
def closure(file: Path) -> list[str]:
    """Files of this repository, relative to its root, that run when a file is run."""
    return [str(path.relative_to(ROOT)) for path in code.closure(file, ROOT)]


def stage_file(command: str) -> Path:
    """File of the stage that a ``dvc.yaml`` command runs."""
    words = command.split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def stages_of(pipeline: Path) -> dict[str, dict]:
    """Stage name → definition (the body of ``do`` for ``foreach``)."""
    stages = YAML().load(pipeline.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}
