"""Time extraction of findings: reports a second on one core, reading, scrubbing and statements included.

Each repetition reads all reports in this process; the median CPU time counts. Every study gets as many identifiers to
mask as a DICOM header holds, so that scrubbing has its usual work. With ``--minimum`` a slower run ends in an error.
Columns and source are those of ``extract_findings`` in the parameter file, columns also as options.

    python benchmarks/extraction.py --reports data/simulated/reports.csv
    python benchmarks/extraction.py --reports indiana_reports.csv --accession-column uid \
        --text-column findings --text-column impression --minimum 300 --out benchmarks/extraction.json
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.artifacts.identity import SiteKey
from stages.reports.extraction import ExtractionParams, Identifiers, Report, Screening, extract_batch
from stages.reports.inputs import read_reports
from stages.reports.sources.base import Columns

_WARM_UP = 50
# Of a DICOM header: names of the patient and three physicians, two numbers, three dates.
_IDENTIFIERS = [*(("Surname", "Forename"),) * 4, ("4711",), ("PAT", "0815"), *(("2020", "02", "02"),) * 3]


def main(
    reports: Annotated[Path, typer.Option(help="Report export: a file, or a folder of files of one format.")],
    accession_column: Annotated[str | None, typer.Option(help="Column of the accession number.")] = None,
    text_column: Annotated[list[str] | None, typer.Option(help="Column of the text; may be repeated.")] = None,
    repeat: Annotated[int, typer.Option(help="Repetitions; the median counts.")] = 5,
    minimum: Annotated[float, typer.Option(help="Reports a second below which this ends in an error.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures (JSON).")] = None,
    params_path: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Print the number of reports, the seconds they take and the rate."""
    settings = params.load("extract_findings", ExtractionParams, params_path)
    columns = _columns(settings.columns, accession_column, text_column)
    screening = Screening(SiteKey.ephemeral())
    batch = [screening.screen(raw) for raw in read_reports(reports, columns, settings.source)]
    identifiers = _identifiers(batch, screening.key)
    extract_batch(batch[:_WARM_UP], settings, screening.key, identifiers)
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        num_statements = len(extract_batch(batch, settings, screening.key, identifiers)[1])
        seconds.append(time.process_time() - start)
    figures = {
        "reports": len(batch),
        "statements": num_statements,
        "repetitions": repeat,
        "median_cpu_s": round(statistics.median(seconds), 2),
        "reports_per_s": round(len(batch) / statistics.median(seconds)),
        "processor": _processor(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    print(json.dumps(figures, indent=2))
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if figures["reports_per_s"] < minimum:
        print(f"slower than {minimum:g} reports a second")
        raise typer.Exit(1)


def _columns(settings: Columns, accession_column: str | None, text_column: list[str] | None) -> Columns:
    if accession_column is None and not text_column:
        return settings
    return Columns(
        accession_number=accession_column or settings.accession_number,
        report_text=tuple(text_column or settings.texts),
    )


def _identifiers(batch: list[Report], key: SiteKey) -> Identifiers:
    """The same identifiers for every study; none stands in a report, so each is looked for everywhere."""
    by_length: dict[int, set[str]] = {}
    for words in _IDENTIFIERS:
        by_length.setdefault(len(words), set()).add(key.ngram_id(list(words)))
    frozen = {length: frozenset(hashes) for length, hashes in by_length.items()}
    return {report.study_id: frozen for report in batch}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    typer.run(main)
