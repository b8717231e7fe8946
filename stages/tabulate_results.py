"""Turn the cases of every evaluation into tables, figures and a page, with the statistics of every comparison."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import RootModel

from stages.artifacts import cohort_tables, tables, truth_tables
from stages.evaluation.classification import ClassificationParams
from stages.evaluation.collection import collect, read_source
from stages.evaluation.figures import draw_all
from stages.evaluation.report import Page
from stages.evaluation.tables import (
    COMPARISON_COLUMNS,
    RESULT_COLUMNS,
    TabulateParams,
    comparison_rows,
    flow_rows,
    result_rows,
    write_csv,
)
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


class Objectives(RootModel[dict[str, Any]]):
    """Section ``objectives``: its keys are the rows of the tables."""


def main(
    evaluations: Annotated[Path, typer.Option(help="Folder of cases: <task>/<objective>.parquet.")],
    flow: Annotated[Path, typer.Option(help="Cohort flow (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Relevance classes; only tells what they were judged by (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels; only tells where they come from (Parquet).")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    tables_folder: Annotated[Path, typer.Option("--tables", help="Folder of CSV tables to write.")],
    figures: Annotated[Path, typer.Option(help="Folder of figures to write.")],
    readme: Annotated[Path, typer.Option(help="Results page to write (Markdown).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write results.csv, comparisons.csv and flow.csv, figures, and the results page."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("tabulate_results", TabulateParams, params)
    results = collect(
        evaluations,
        objectives=list(load("objectives", Objectives, params).root),
        params=section,
        min_positives=load("evaluate_classification", ClassificationParams, params).min_positives,
        is_simulated=cohort.resolve().is_relative_to(section.simulated_folder.resolve()),
    )
    rows, comparisons = result_rows(results), comparison_rows(results)
    counts = flow_rows(tables.read(flow, cohort_tables.FLOW).to_pylist(), results)
    write_csv(tables_folder / "results.csv", RESULT_COLUMNS, rows)
    write_csv(tables_folder / "comparisons.csv", COMPARISON_COLUMNS, comparisons)
    write_csv(tables_folder / "flow.csv", cohort_tables.FLOW.schema.names, counts)
    page = Page(
        results=results,
        comparisons=comparisons,
        flow=counts,
        figures=draw_all(figures, results),
        gain_source=read_source(relevance, truth_tables.RELEVANCE_CLASSES),
        label_source=read_source(labels, truth_tables.LABELS),
        tables_folder=os.path.relpath(tables_folder, readme.parent),
        figures_folder=os.path.relpath(figures, readme.parent),
    )
    readme.parent.mkdir(parents=True, exist_ok=True)
    readme.write_text(page.write(), encoding="utf-8")
    logger.info(
        "tabulate_results: %d methods, %d rows, %d comparisons", len(results.estimates), len(rows), len(comparisons)
    )


if __name__ == "__main__":
    typer.run(main)
