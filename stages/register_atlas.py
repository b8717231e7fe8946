"""Register every study to the atlas, and carry the atlas's regions to its patches."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stages import params as parameters
from stages.artifacts import atlas_tables, tables, tensors
from stages.imaging.atlas_preparation import register_studies
from stages.imaging.regions import list_regions
from stages.imaging.registration import RegistrationParams
from stages.imaging.shards import VolumeStore

logger = logging.getLogger(__name__)


def main(
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables of regions and registrations, and the weights.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = parameters.DEFAULT_PATH,
) -> None:
    """Write the regions, how each study lies in them, and the share of every patch in every region."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = parameters.load("register_atlas", RegistrationParams, params)
    atlas = register_studies(VolumeStore(volumes), values)
    regions = tables.from_rows(atlas_tables.REGIONS, map(asdict, list_regions()))
    tables.write(out / atlas_tables.REGION_TABLE, regions, atlas_tables.REGIONS)
    registrations = tables.from_rows(atlas_tables.REGISTRATIONS, atlas.rows)
    tables.write(out / atlas_tables.REGISTRATION_TABLE, registrations, atlas_tables.REGISTRATIONS)
    about = {"patch_size": values.patch_size, "grid": list(atlas.grid)}
    tensors.write(out / atlas_tables.WEIGHTS, {atlas_tables.WEIGHT_KEY: atlas.weight_NRP}, about)
    counts = Counter(row["status"] for row in atlas.rows)
    shown = ", ".join(f"{counts[status]} {status}" for status in atlas_tables.STATUSES)
    logger.info("register_atlas: %d studies, %s", len(atlas.rows), shown)


if __name__ == "__main__":
    typer.run(main)
