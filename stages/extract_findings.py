"""Reports to sections without identifiers, and to statements in the codes of a lexicon."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.artifacts import tables
from stages.artifacts.extraction_tables import MENTIONS
from stages.artifacts.identity import SiteKey
from stages.artifacts.imaging_tables import IDENTIFIERS, SERIES
from stages.artifacts.report_tables import FINDINGS, REPORTS
from stages.reports.arrival import arrange
from stages.reports.extraction import ExtractionParams, Screening, extract, group_identifiers
from stages.reports.inputs import read_reports
from stages.reports.lexicon import Lexicon

logger = logging.getLogger(__name__)


def main(
    reports: Annotated[Path, typer.Option(help="Report export: a file, or a folder of files of one format.")],
    out: Annotated[Path, typer.Option(help="Folder for reports, findings and mentions (Parquet).")],
    identifiers: Annotated[Path | None, typer.Option(help="identifiers.parquet: what to mask.")] = None,
    series: Annotated[Path | None, typer.Option(help="series.parquet: the studies that have images.")] = None,
    site_key: Annotated[Path | None, typer.Option(help="Key file of the site; a fresh key without.")] = None,
    params_path: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Extract findings from reports; one row for every report, whatever becomes of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if site_key is None and (identifiers or series):
        raise typer.BadParameter(
            "--identifiers and --series hold ids made under a site key; pass the same key with --site-key"
        )
    settings = params.load("extract_findings", ExtractionParams, params_path)
    key = _site_key(site_key, reports)
    known = group_identifiers(tables.read(identifiers, IDENTIFIERS)) if identifiers else {}
    studies = tables.read(series, SERIES, ["study_id"]).column("study_id").to_pylist() if series else None
    screening = Screening(key, frozenset(studies) if studies is not None else None)
    read = read_reports(reports, settings.columns, settings.source)
    arranged = arrange(read, key, screening.studies, Lexicon.load(settings.lexicon), settings.source)
    screened = map(screening.screen, arranged)
    report_table, finding_table, mention_table = extract(screened, settings, key, known)
    tables.write(out / "reports.parquet", report_table, REPORTS)
    tables.write(out / "findings.parquet", finding_table, FINDINGS)
    tables.write(out / "mentions.parquet", mention_table, MENTIONS)
    counts = Counter(report_table.column("status").to_pylist())
    summary = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    logger.info("%d statements from %d reports: %s", len(finding_table), len(report_table), summary or "none")


def _site_key(path: Path | None, reports: Path) -> SiteKey:
    if path is not None:
        return SiteKey.load(path, reports)
    logger.info(
        "no --site-key: ids of this run match no other run's, and names are masked only where a title or a header "
        "gives them away; pass --site-key, --identifiers and --series to mask what the DICOM headers hold"
    )
    return SiteKey.ephemeral()


if __name__ == "__main__":
    typer.run(main)
