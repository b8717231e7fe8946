"""Measure what one objective's embeddings give away of the scanner, and how retrieval fares without each sequence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.relevance import Relevance
from stages.evaluation.shortcuts import ShortcutParams, evaluate_shortcuts, read_scanners, summarise_shortcuts
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    embeddings: Annotated[Path, typer.Option(help="Embeddings of the objective, every seed (safetensors).")],
    index: Annotated[Path, typer.Option(help="What the rows of the embeddings are (Parquet).")],
    series: Annotated[Path, typer.Option(help="Series of the cohort, for vendor and field strength (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Folder of relevance classes and their gains.")],
    out: Annotated[Path, typer.Option(help="Cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write one case per study and metric."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cases = evaluate_shortcuts(
        name,
        Embeddings.load(embeddings, index),
        read_scanners(series),
        Relevance.load(relevance),
        load("evaluate_shortcuts", ShortcutParams, params),
    )
    tables.write(out, cases, evaluation_tables.MEASURE_CASES)
    write_json(metrics, summarise_shortcuts(cases))
    logger.info("evaluate_shortcuts: %s, %d cases", name, len(cases))


if __name__ == "__main__":
    typer.run(main)
