"""Convert an export of DICOM files and archives to NIfTI volumes and pseudonymous tables."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.artifacts.identity import SiteKey
from stages.imaging.ingestion import ingest
from stages.imaging.settings import ConversionSettings

logger = logging.getLogger(__name__)


def main(
    dicom: Annotated[Path, typer.Option(help="Folder with DICOM files and ZIP/tar archives, in any arrangement.")],
    out: Annotated[Path, typer.Option(help="Folder for series, ledger and identifiers tables and nifti/.")],
    site_key: Annotated[Path | None, typer.Option(help="Key file of the site; without it ids are random.")] = None,
    work: Annotated[Path, typer.Option(help="Cache of converted series.")] = Path("work/convert_dicom"),
    params_file: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Convert an export of DICOM files and archives to NIfTI volumes and pseudonymous tables."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = params.load("convert_dicom", ConversionSettings, params_file)
    if site_key is None:
        logger.info("no --site-key: ids are random and match no other run; pass --site-key FILE to link reports")
    key = SiteKey.ephemeral() if site_key is None else SiteKey.load(site_key, dicom)
    ingest(dicom, out, work, key, settings)


if __name__ == "__main__":
    typer.run(main)
