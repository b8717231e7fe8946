"""Write and read tensor files (safetensors, never pickled)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> None:
    """Write named arrays and JSON metadata, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    text = {"about": json.dumps(dict(metadata or {}), sort_keys=True)}
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, partial, metadata=text)
    os.replace(partial, path)


def read(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Read named arrays (all by default).

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if a name is not in the file.
    """
    _require(path)
    with safe_open(path, framework="numpy") as file:
        known = set(file.keys())
        missing = set(names or ()) - known
        if missing:
            raise ValueError(f"{path}: no tensor {sorted(missing)}; it holds {sorted(known)[:20]}")
        return {name: file.get_tensor(name) for name in (sorted(known) if names is None else names)}


def names(path: Path) -> list[str]:
    """List the arrays of a tensor file, sorted, without reading them."""
    _require(path)
    with safe_open(path, framework="numpy") as file:
        return sorted(file.keys())


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the JSON metadata that ``write`` stored."""
    _require(path)
    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get("about", "{}"))


def _require(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no tensor file; run the stage that writes it (`dvc repro`)")
