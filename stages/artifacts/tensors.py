"""Write and read tensor files (safetensors, never pickled)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stages.artifacts import disk


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> None:
    """Write named arrays and JSON metadata, whole or not at all.

    Raises:
        DiskFullError: if the disk is full; an earlier file is left as it was.
    """
    text = {"about": json.dumps(dict(metadata or {}), sort_keys=True)}
    arrays = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    with disk.replacing(path) as partial:
        try:
            save_file(arrays, partial, metadata=text)
        except SafetensorError as error:
            # The library has one kind of error for all that goes wrong, and names the system's in its text.
            if any(f"(os error {code})" in str(error) for code in disk.FULL):
                raise disk.DiskFullError.at(path.parent, sum(a.nbytes for a in arrays.values())) from None
            raise


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
