"""Turn the cases of every evaluation into tables, figures and pages, with the statistics of every comparison."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import RootModel

from stages.artifacts import cohort_tables, tables, truth_tables
from stages.evaluation import rows
from stages.evaluation.areas import Rules
from stages.evaluation.audits import Audits
from stages.evaluation.classification import ClassificationParams
from stages.evaluation.collection import collect, read_source
from stages.evaluation.figures import draw_all
from stages.evaluation.quantities import GENERATION, REGIONS, VQA
from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.report import Links, Pages
from stages.evaluation.tables import Results, TabulateParams
from stages.evaluation.tasks import TASKS
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


class Objectives(RootModel[dict[str, Any]]):
    """Section ``objectives``: its keys are the rows of the tables."""


class Evaluated(RootModel[list[str]]):
    """Objectives that a task is evaluated for, where not for all."""


def main(
    evaluations: Annotated[Path, typer.Option(help="Folder of cases: <task>/<objective>.parquet.")],
    flow: Annotated[Path, typer.Option(help="Cohort flow (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Relevance classes; only tells what they were judged by (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels; only tells where they come from (Parquet).")],
    negatives: Annotated[Path, typer.Option(help="Near-duplicates among the negatives (Parquet).")],
    leakage: Annotated[Path, typer.Option(help="What splits share (Parquet).")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    examples: Annotated[Path, typer.Option(help="Page of example figures; only linked.")],
    answers: Annotated[Path, typer.Option(help="Page of questions with answers; only linked.")],
    generated: Annotated[Path, typer.Option(help="Page of generated reports; only linked.")],
    quality: Annotated[Path, typer.Option(help="Page about the quality of the cohort; only linked.")],
    tables_folder: Annotated[Path, typer.Option("--tables", help="Folder of CSV tables to write.")],
    figures: Annotated[Path, typer.Option(help="Folder of figures to write.")],
    pages: Annotated[Path, typer.Option(help="Folder of one page a task to write (Markdown).")],
    readme: Annotated[Path, typer.Option(help="First results page to write (Markdown).")],
    headline: Annotated[Path, typer.Option(help="Declared figures to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write results.csv, comparisons.csv, headline.csv and flow.csv, figures, and the results pages."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = estimate(evaluations, cohort, params)
    audits = Audits.load(results, negatives, leakage)
    counts = rows.flow_rows(tables.read(flow, cohort_tables.FLOW).to_pylist(), results)
    comparisons = rows.comparison_rows(results)
    write_tables(tables_folder, headline, results, audits)
    rows.write_csv(tables_folder / "comparisons.csv", rows.COMPARISON_COLUMNS, comparisons)
    rows.write_csv(tables_folder / "flow.csv", cohort_tables.FLOW.schema.names, counts)
    composed = Pages(
        results=results,
        comparisons=comparisons,
        flow=counts,
        audits=audits,
        figures=draw_all(figures, results),
        gain_source=read_source(relevance, truth_tables.RELEVANCE_CLASSES),
        label_source=read_source(labels, truth_tables.LABELS),
        links=Links.seen_from(
            readme,
            tables=tables_folder,
            tasks=pages,
            examples=examples,
            answers=answers,
            generated=generated,
            quality=quality,
        ),
    )
    _write(readme, composed.write_first())
    back, beside = os.path.relpath(readme, pages), os.path.relpath(figures, pages)
    for task in TASKS:
        _write(pages / f"{task.name}.md", composed.write_task(task, back, beside))
        if not results.has_cases(task):
            logger.info("tabulate_results: no cases of %s: %s", task.name, task.missing)
    logger.info("tabulate_results: %d methods, %d comparisons", len(results.estimates), len(comparisons))


def estimate(evaluations: Path, cohort: Path, params: Path) -> Results:
    """Estimate everything from the cases of all methods."""
    section = load("tabulate_results", TabulateParams, params)
    classification = load("evaluate_classification", ClassificationParams, params)
    regions = load("evaluate_regions", RegionsParams, params)
    return collect(
        evaluations,
        objectives=list(load("objectives", Objectives, params).root),
        params=section,
        rules=Rules(classification.min_positives, tuple(classification.subtype_tasks), regions.min_positives),
        is_simulated=section.simulated_folder.holds(cohort),
        evaluated={
            REGIONS: regions.objectives,
            GENERATION: load("evaluate_generation.objectives", Evaluated, params).root,
            VQA: load("evaluate_vqa.objectives", Evaluated, params).root,
        },
    )


def write_tables(folder: Path, headline: Path, results: Results, audits: Audits) -> None:
    """Write every number, and the declared figures by themselves as CSV and JSON."""
    headlines = rows.headline_rows(results)
    rows.write_csv(folder / "results.csv", rows.RESULT_COLUMNS, [*rows.result_rows(results), *audits.rows()])
    rows.write_csv(folder / "headline.csv", rows.HEADLINE_COLUMNS, headlines)
    rows.write_headline(headline, headlines)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
