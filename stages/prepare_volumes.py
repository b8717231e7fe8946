"""Bring all images of a study to one RAS+ grid and pack them into memory-mapped shards."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages import params as parameters
from stages.artifacts import imaging_tables, tables
from stages.artifacts.transaction import replaced_together
from stages.imaging.defacing import require
from stages.imaging.montage import write_montage
from stages.imaging.preparation import Row, assemble, forget_unused, plan_studies, prepare_missing
from stages.imaging.shards import TABLE, VolumeStore
from stages.imaging.volumes import VolumeParams

_FOLDERS = ("shards", "qc")
logger = logging.getLogger(__name__)


def main(
    converted: Annotated[Path, typer.Option(help="Folder with series.parquet and nifti/.")],
    out: Annotated[Path, typer.Option(help="Folder for volumes.parquet, shards/ and qc/.")],
    work: Annotated[Path, typer.Option(help="Cache of prepared studies; may be deleted.")] = Path(
        "work/prepare_volumes"
    ),
    params: Annotated[Path, typer.Option(help="Parameter file.")] = parameters.DEFAULT_PATH,
) -> None:
    """Prepare the volumes of a cohort."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = parameters.load("prepare_volumes", VolumeParams, params)
    require(values.anonymisation)
    series = tables.read(converted / "series.parquet", imaging_tables.SERIES).to_pylist()
    tasks = plan_studies(series, values, work)
    num_prepared = prepare_missing(tasks, converted, values)
    with replaced_together(out, (*_FOLDERS, TABLE)) as new:
        for folder in _FOLDERS:
            (new / folder).mkdir()
        rows = assemble(tasks, new, values)
        tables.write(new / TABLE, tables.from_rows(imaging_tables.VOLUMES, _columns(rows)), imaging_tables.VOLUMES)
        _draw_sample(new, rows, values.num_montages)
    num_removed = forget_unused(tasks, work, values)
    if num_removed:
        logger.info("prepare_volumes: %d files that no run used any longer left the cache", num_removed)
    logger.info(
        "prepare_volumes: %d studies (%d prepared now), %d of %d series, %d selected",
        len(tasks),
        num_prepared,
        len(rows),
        len(series),
        sum(row["is_selected"] for row in rows),
    )


def _columns(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in imaging_tables.VOLUMES.schema.names} for row in rows]


def _draw_sample(out: Path, rows: list[Row], num_studies: int) -> None:
    """Draw studies taken at equal steps from the table."""
    studies: dict[str, list[Row]] = {}
    for row in rows:
        if row["is_selected"]:
            studies.setdefault(row["study_id"], []).append(row)
    store = VolumeStore(out)
    names = list(studies)
    for name in names[:: max(1, len(names) // max(1, num_studies))][:num_studies]:
        ordered = sorted(studies[name], key=lambda row: imaging_tables.SEQUENCES.index(row["sequence"]))
        volumes = [(row["sequence"], store.read(row["series_id"])) for row in ordered]
        write_montage(out / "qc" / f"{name}.png", name, volumes)


if __name__ == "__main__":
    typer.run(main)
