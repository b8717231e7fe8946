"""A hash of all that a training depends on: settings, data and code."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy
import torch

from stages.artifacts.code import PACKAGE, code_digest

_HEX_DIGITS = 20


def fingerprint(settings: dict[str, Any], data: Iterable[Path]) -> str:
    """Hash settings, the content of data files, the imported code (comments aside), numeric libraries.

    File names of the data enter without their folder, so that a moved project keeps its work.

    Args:
        settings: what the parameter files say, JSON values only.
        data: files and folders; all files below a folder count.

    Returns:
        20 hex digits.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(f"{torch.__version__} {numpy.__version__}".encode())
    for root in data:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                digest.update(f"{path.relative_to(root.parent)}".encode() + _digest(path))
    for name, path in _imported_code():
        digest.update(f"{name} {code_digest(path)}".encode())
    return digest.hexdigest()[:_HEX_DIGITS]


def _imported_code() -> list[tuple[str, Path]]:
    modules = {
        name: Path(file)
        for name, module in list(sys.modules.items())
        if name.split(".")[0] == PACKAGE and (file := getattr(module, "__file__", None))
    }
    return sorted(modules.items())


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
