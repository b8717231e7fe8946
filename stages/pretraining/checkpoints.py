"""Training state that survives a kill: written whole or not at all, read without unpickling code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

_NAME = "state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the training state, atomically and to the disk itself.

    Args:
        folder: of this training, named by a hash of all that it depends on.
        state: tensors, numbers, strings and containers of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_NAME}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / _NAME)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read the last training state, None where there is none."""
    path = folder / _NAME
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
