"""Find an objective's class by the name of its file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages.params import Params
from stages.pretraining import objectives
from stages.pretraining.objectives.base import Objective

_HELPERS = {"__init__", "base"}


def find_objective(method: str) -> type[Objective]:
    """Import ``objectives/<method>.py`` and return the class that it names ``OBJECTIVE``.

    Raises:
        ValueError: if there is no such file; the message lists those that exist.
    """
    known = sorted(path.stem for path in Path(objectives.__path__[0]).glob("*.py") if path.stem not in _HELPERS)
    if method not in known:
        raise ValueError(f"objective method {method!r}: no such file in stages/pretraining/objectives; have {known}")
    return importlib.import_module(f"{objectives.__name__}.{method}").OBJECTIVE


def read_params(objective: type[Objective], values: dict[str, Any], section: str) -> Params:
    """Validate the parameters of an objective.

    Raises:
        ValueError: naming the dotted path of each offending value.
    """
    try:
        return objective.Params.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join([section, *map(str, issue['loc'])])}: {issue['msg']} (got {issue['input']!r})"
            for issue in error.errors()
        ]
        raise ValueError("invalid values\n  " + "\n  ".join(lines)) from None
