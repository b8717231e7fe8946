"""Classify studies with the embeddings of one objective: zero-shot and by linear probes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.classification import ClassificationParams, Cohort, score_objective, to_cases
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.summaries import summarise_classification, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    embeddings: Annotated[Path, typer.Option(help="Embeddings of the objective, every seed (safetensors).")],
    index: Annotated[Path, typer.Option(help="What the rows of the embeddings are (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies (Parquet).")],
    texts: Annotated[Path, typer.Option(help="Folder with prompts.parquet.")],
    out: Annotated[Path, typer.Option(help="Classification cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean AUC of each protocol to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score every study of the evaluated splits for every finding, by zero-shot prompts and linear probes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_classification", ClassificationParams, params)
    prompts = tables.read(texts / "prompts.parquet", report_tables.PROMPTS).to_pylist()
    vectors = Embeddings.load(embeddings, index)
    cohort = Cohort.build(vectors.images, Labels.load(labels))
    meaning = {prompt["prompt_id"]: (prompt["finding"], prompt["polarity"]) for prompt in prompts}
    scorings = list(score_objective(vectors, cohort, meaning, section))
    cases = to_cases(scorings, cohort, section, name=name)
    tables.write(out, cases, evaluation_tables.CLASSIFICATION_CASES)
    write_json(metrics, summarise_classification(scorings, cohort, section))
    logger.info("evaluate_classification: %s, %d cases of %d studies", name, len(cases), len(cohort.study_ids))


if __name__ == "__main__":
    typer.run(main)
