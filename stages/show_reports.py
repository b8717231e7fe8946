"""Show reports that the objectives wrote about a few test studies, beside the studies' own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from pydantic import RootModel

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.publication import SimulatedFolder
from stages.evaluation.report_examples import ShowReportsParams, write_page
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


class Evaluated(RootModel[list[str]]):
    """Objectives that write reports."""


def main(
    generated: Annotated[Path, typer.Option(help="Folder with the written texts of each objective.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts.parquet.")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    out: Annotated[Path, typer.Option(help="Page to write (Markdown).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write the page, or one that says why there is nothing to show."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("show_reports", ShowReportsParams, params)
    names = load("evaluate_generation.objectives", Evaluated, params).root
    simulated = load("tabulate_results.simulated_folder", SimulatedFolder, params)
    is_simulated = simulated.holds(cohort)
    rows = {}
    if is_simulated or section.publish_examples:
        for name in names:
            path = generated / f"{name}.parquet"
            rows[name] = tables.read(path, evaluation_tables.GENERATED_TEXTS).to_pylist()
        own = tables.read(texts / "texts.parquet", report_tables.TEXTS, ["english_text"])["english_text"].to_pylist()
        page = write_page(rows, own, section, is_simulated=is_simulated)
        logger.info("show_reports: %d objectives", len(names))
    else:
        missing = "a real cohort is shown only if show_reports.publish_examples says so"
        page = f"# Generated reports\n\nNothing is shown: {missing}.\n"
        logger.info("show_reports: nothing shown, %s", missing)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
