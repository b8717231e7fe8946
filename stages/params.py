"""Read one section of ``params.yaml`` into a validated model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ModelT = TypeVar("ModelT", bound=BaseModel)

DEFAULT_PATH = Path("params.yaml")


class Params(BaseModel):
    """Base of every parameter model: unknown keys are errors, values are read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(section: str, model: type[ModelT], path: Path = DEFAULT_PATH) -> ModelT:
    """Read and validate one section of the parameter file.

    The file is read by the YAML 1.2 rules that DVC applies (``5e-4`` is a number).

    Args:
        section: dotted path of the section, e.g. ``"objectives.selip"``.
        model: pydantic model that the section must satisfy.
        path: the parameter file.

    Returns:
        The validated section.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file or the section cannot be read, or a value is invalid; the message
            names the dotted path of each offending value.
    """
    node = _read(path)
    for part in section.split("."):
        if not isinstance(node, dict) or part not in node:
            raise ValueError(f"{path}: section {section!r} is missing; add it or restore the committed file")
        node = node[part]
    try:
        return model.model_validate(node)
    except ValidationError as error:
        raise ValueError(_describe(error, section, path)) from None


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no parameter file; run from the repository root or pass --params")
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None


def _describe(error: ValidationError, section: str, path: Path) -> str:
    lines = [f"{path}: invalid values in {section!r}"]
    for issue in error.errors():
        dotted = ".".join([section, *(str(part) for part in issue["loc"])])
        lines.append(f"  {dotted}: {issue['msg']} (got {issue['input']!r})")
    return "\n".join(lines)
