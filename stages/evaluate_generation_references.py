"""Score what stands beside the methods in generation: the most frequent training report, written about every image."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.cases import MOST_FREQUENT
from stages.evaluation.generation import KINDS, GenerationParams, summarise, to_tables
from stages.evaluation.generation_inputs import GenerationInputs
from stages.evaluation.quantities import OWN
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load
from stages.reports.extraction import ExtractionParams

logger = logging.getLogger(__name__)


def main(
    model: Annotated[Path, typer.Option(help="Exported encoders of any objective: what an image is.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs and the statements of each text.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    most_frequent: Annotated[Path, typer.Option(help="Measure cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score the report that most training images have, on the images that the objectives write about."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_generation", GenerationParams, params)
    extraction = load("extract_findings", ExtractionParams, params)
    inputs = GenerationInputs.load(model, volumes, texts, splits, section)
    known = inputs.training_texts()
    judge = inputs.judge(texts, findings, extraction)
    rows = inputs.evaluated_rows(section.splits)
    # Of equally frequent ones the first report; it stands in the place of every writer.
    usual = [Counter(known).most_common(1)[0][0]] * len(rows) if known else []
    asked = rows if usual else rows[:0]
    written = [one for kind in (*KINDS, OWN) for one in inputs.written(asked, usual, kind=kind, seed=0)]
    cases, _ = to_tables(MOST_FREQUENT, written, judge)
    tables.write(most_frequent, cases, evaluation_tables.MEASURE_CASES)
    write_json(metrics, {MOST_FREQUENT: summarise(cases, written)})
    logger.info("evaluate_generation_references: %d studies", len(rows))


if __name__ == "__main__":
    typer.run(main)
