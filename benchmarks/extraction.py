"""Time extraction of findings: reports a second on one core.

python benchmarks/extraction.py --reports reports.csv --text-column report_text
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.artifacts.identity import SiteKey
from stages.reports.extraction import ExtractionParams, Screening, extract_batch, reader_of
from stages.reports.inputs import read_reports
from stages.reports.sources.base import Columns, Source


def main(
    reports: Annotated[Path, typer.Option(help="CSV file with one report a row.")],
    accession_column: Annotated[str, typer.Option(help="Column of the accession number.")] = "accession_number",
    text_column: Annotated[list[str] | None, typer.Option(help="Column of the text; may be repeated.")] = None,
    params_path: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Print the number of reports, the seconds they take and the rate."""
    settings = params.load("extract_findings", ExtractionParams, params_path)
    columns = Columns(accession_number=accession_column, report_text=tuple(text_column or ["report_text"]))
    screening = Screening(SiteKey.ephemeral())
    batch = [screening.screen(raw) for raw in read_reports(reports, columns, Source())]
    reader_of(settings.lexicon, settings.spacy_model)
    start = time.process_time()
    _, findings = extract_batch(batch, settings, screening.key, {})
    seconds = time.process_time() - start
    print(
        f"{len(batch)} reports, {len(findings)} statements, {seconds:.2f} s CPU, {len(batch) / seconds:.0f} reports/s"
    )


if __name__ == "__main__":
    typer.run(main)
