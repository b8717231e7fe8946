"""Show what a cohort holds: counts, histograms, pictures of volumes, and sentences with their statements marked."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import imaging_tables, report_tables, tables
from stages.evaluation.cohort import rows_of
from stages.evaluation.marked_sentences import choose, mark_sentences, to_html, to_rows
from stages.evaluation.publication import SimulatedFolder
from stages.evaluation.quality_counts import COLUMNS, QualityTables, count_all
from stages.evaluation.quality_figures import draw_intensities, draw_panels, measure_panels, spacing_panels
from stages.evaluation.quality_page import MinPatients, ShowQualityParams, write_page
from stages.evaluation.rows import write_csv
from stages.imaging.montage import write_montage
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    converted: Annotated[Path, typer.Option(help="Folder with series.parquet and ledger.parquet.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet and findings.parquet.")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    out: Annotated[Path, typer.Option(help="Folder for the page, its tables and its figures; emptied first.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write the page; of a real cohort counts and histograms only, unless examples may be published."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("show_quality", ShowQualityParams, params)
    is_simulated = load("tabulate_results.simulated_folder", SimulatedFolder, params).holds(cohort)
    is_public = is_simulated or section.publish_examples
    smallest = 0 if is_public else load("tabulate_results.min_patients", MinPatients, params).root
    store = VolumeStore(volumes)
    held = read_tables(converted, store, reports)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    counts = count_all(held)
    write_csv(out / "counts.csv", COLUMNS, (count.shown(smallest) for count in counts))
    figures = draw(out, held, store, section, smallest, is_simulated=is_simulated)
    montages = draw_montages(out / "montages", store, section.num_montages) if is_public else []
    sentences = []
    if is_public:
        found = mark_sentences(held.findings.to_pylist(), held.reports.to_pylist())
        sentences = choose(found, section.num_sentences, section.seed)
        (out / "sentences.html").write_text(to_html(sentences), encoding="utf-8")
    withheld = "" if is_public else "a real cohort is shown only if show_quality.publish_examples says so"
    page = write_page(
        counts,
        figures,
        montages,
        to_rows(sentences),
        cohort=_describe(is_simulated=is_simulated, is_public=is_public, smallest=smallest),
        smallest=smallest,
        withheld=withheld,
    )
    (out / "README.md").write_text(page, encoding="utf-8")
    logger.info(
        "show_quality: %d counts, %s", len(counts), withheld or f"{len(montages)} studies, {len(sentences)} sentences"
    )


def read_tables(converted: Path, store: VolumeStore, reports: Path) -> QualityTables:
    """Read what is counted."""
    return QualityTables(
        ledger=tables.read(converted / "ledger.parquet", imaging_tables.LEDGER),
        series=tables.read(converted / "series.parquet", imaging_tables.SERIES),
        volumes=store.table,
        reports=tables.read(reports / "reports.parquet", report_tables.REPORTS),
        findings=tables.read(reports / "findings.parquet", report_tables.FINDINGS),
    )


def draw(
    out: Path, held: QualityTables, store: VolumeStore, section: ShowQualityParams, smallest: int, *, is_simulated: bool
) -> dict[str, str]:
    """Draw the histograms; returns file and caption of each."""
    ending = " (simulated cohort)" if is_simulated else ""
    captions = {
        "spacing.png": f"Spacing and number of slices of the converted series{ending}",
        "measures.png": f"Signal over noise, coverage and tilt of the volumes{ending}",
        "intensity.png": f"Intensities of the volumes in use{ending}",
    }
    draw_panels(out / "spacing.png", spacing_panels(held.series), captions["spacing.png"], smallest)
    draw_panels(out / "measures.png", measure_panels(held.volumes), captions["measures.png"], smallest)
    draw_intensities(out / "intensity.png", store, captions["intensity.png"], section.num_volumes, smallest)
    return captions


def draw_montages(folder: Path, store: VolumeStore, num_montages: int) -> list[str]:
    """Draw studies taken at equal steps from the table; returns their files as seen from the page."""
    studies: dict[str, dict[str, str]] = {}
    columns = ("study_id", "sequence", "series_id", "is_selected")
    for study_id, sequence, series_id, is_selected in rows_of(store.table, *columns):
        if is_selected:
            studies.setdefault(study_id, {})[sequence] = series_id
    step = max(1, len(studies) // max(1, num_montages))
    files = []
    for number, study_id in enumerate(list(studies)[::step][:num_montages], start=1):
        known = studies[study_id]
        ordered = sorted(known, key=imaging_tables.SEQUENCES.index)
        path = folder / f"study_{number:02d}.png"
        write_montage(path, f"study {number}", [(sequence, store.read(known[sequence])) for sequence in ordered])
        files.append(f"{folder.name}/{path.name}")
    return files


def _describe(*, is_simulated: bool, is_public: bool, smallest: int) -> str:
    if is_simulated:
        return "**Simulated cohort**: real anatomy, simulated contrast, disease and reports."
    if is_public:
        return "Real cohort, published in full (`show_quality.publish_examples`)."
    return f"Real cohort, aggregates only: counts and bins of fewer than {smallest} patients are withheld or merged."


if __name__ == "__main__":
    typer.run(main)
