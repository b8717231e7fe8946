"""Volumes of all studies in a few memory-mapped files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from stages.artifacts import imaging_tables, tables, tensors

TABLE = "volumes.parquet"
_FOLDER = "shards"


def shard_name(study_id: str, num_digits: int) -> str:
    """Path of a study's shard below the volumes folder: all its series lie in one file."""
    return f"{_FOLDER}/{study_id[:num_digits]}.safetensors"


def write_shard(folder: Path, name: str, volumes: Mapping[str, np.ndarray]) -> None:
    """Write volumes (uint8; R, A, S) by series id; equal input gives equal bytes."""
    tensors.write(folder / name, dict(sorted(volumes.items())))


class VolumeStore:
    """Reads volumes one at a time out of the shards that ``prepare_volumes`` wrote.

    Files are opened on first use and memory-mapped; a store may be sent to another process.

    Attributes:
        table: ``volumes.parquet``, a row for every volume.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = tables.read(folder / TABLE, imaging_tables.VOLUMES)
        columns = (self.table[name].to_pylist() for name in ("series_id", "shard", "key"))
        self._places = {series_id: (shard, key) for series_id, shard, key in zip(*columns, strict=True)}
        self._files: dict[str, Any] = {}

    def read(self, series_id: str) -> np.ndarray:
        """Read the volume of a series: uint8, axes R, A, S.

        Raises:
            KeyError: if there is no such series.
        """
        if series_id not in self._places:
            raise KeyError(f"{self.folder / TABLE}: no series {series_id}; was it converted after the volumes?")
        shard, key = self._places[series_id]
        if shard not in self._files:
            self._files[shard] = safe_open(self.folder / shard, framework="numpy")
        return self._files[shard].get_tensor(key)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}
