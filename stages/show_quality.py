"""Show what a cohort holds: counts, histograms, pictures of volumes, and sentences with their statements marked."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import imaging_tables, report_tables, tables
from stages.evaluation.cohort import rows_of
from stages.evaluation.marked_sentences import choose, mark_sentences, to_html, to_rows
from stages.evaluation.publication import SimulatedFolder
from stages.evaluation.quality_counts import COLUMNS, Count, QualityTables, count_all
from stages.evaluation.quality_figures import draw_intensities, draw_panels, measure_panels, spacing_panels
from stages.evaluation.quality_page import MinPatients, ShowQualityParams, write_page
from stages.evaluation.rows import write_csv
from stages.imaging.montage import write_montage
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)

_SIMULATED = "**Simulated cohort**: real anatomy, simulated contrast, disease and reports."
_REAL = "Real cohort in full, small counts, pictures and sentences included: for the eyes of those who have the export."
_UNPUBLISHED = "a real cohort is shown only if show_quality.publish_examples says so"
_WITHHELD = (
    "counts and bins of fewer than {} patients are withheld or merged, and counts of files and reports whose patients "
    "are not known."
)


@dataclass(frozen=True)
class Contents:
    """What the pages show."""

    held: QualityTables
    counts: list[Count]
    store: VolumeStore
    section: ShowQualityParams
    is_simulated: bool


def main(
    converted: Annotated[Path, typer.Option(help="Folder with series.parquet and ledger.parquet.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet and findings.parquet.")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    on_site: Annotated[Path, typer.Option(help="Folder for the page with everything; emptied first.")],
    out: Annotated[Path, typer.Option(help="Folder for the page that may be published; emptied first.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write the page with everything, and of it what may be published: of a real cohort counts and histograms only."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("show_quality", ShowQualityParams, params)
    is_simulated = load("tabulate_results.simulated_folder", SimulatedFolder, params).holds(cohort)
    smallest = load("tabulate_results.min_patients", MinPatients, params).root
    store = VolumeStore(volumes)
    held = read_tables(converted, store, reports)
    contents = Contents(held, count_all(held), store, section, is_simulated)
    shown = write_everything(on_site, contents)
    if is_simulated or section.publish_examples:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(on_site, out)
    else:
        write_aggregates(out, contents, smallest)
        shown = f"{_UNPUBLISHED}; on site see {on_site}"
    logger.info("show_quality: %d counts, %s", len(contents.counts), shown)


def write_everything(folder: Path, contents: Contents) -> str:
    """Write the page with all counts, pictures and sentences; returns how many examples it has."""
    held, section = contents.held, contents.section
    figures = write_numbers(folder, contents, 0)
    montages = draw_montages(folder / "montages", contents.store, section.num_montages)
    found = mark_sentences(held.findings.to_pylist(), held.reports.to_pylist())
    sentences = choose(found, section.num_sentences, section.seed)
    (folder / "sentences.html").write_text(to_html(sentences), encoding="utf-8")
    about = _SIMULATED if contents.is_simulated else _REAL
    page = write_page(contents.counts, figures, montages, to_rows(sentences), cohort=about, smallest=0, withheld="")
    (folder / "README.md").write_text(page, encoding="utf-8")
    return f"{len(montages)} studies, {len(sentences)} sentences"


def write_aggregates(folder: Path, contents: Contents, smallest: int) -> None:
    """Write the page with the counts and histograms of a real cohort that are of enough patients."""
    figures = write_numbers(folder, contents, smallest)
    about = f"Real cohort, aggregates only: {_WITHHELD.format(smallest)}"
    page = write_page(contents.counts, figures, [], [], cohort=about, smallest=smallest, withheld=_UNPUBLISHED)
    (folder / "README.md").write_text(page, encoding="utf-8")


def write_numbers(folder: Path, contents: Contents, smallest: int) -> dict[str, str]:
    """Empty a folder, write counts and histograms there; returns file and caption of each histogram."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_csv(folder / "counts.csv", COLUMNS, (count.shown(smallest) for count in contents.counts))
    is_simulated = contents.is_simulated
    return draw(folder, contents.held, contents.store, contents.section, smallest, is_simulated=is_simulated)


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


if __name__ == "__main__":
    typer.run(main)
