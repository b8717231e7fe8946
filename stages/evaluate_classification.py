"""Classify studies with the embeddings of one objective: zero-shot and by linear probes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.classification import (
    TEST_SEQUENCE,
    ClassificationParams,
    score_objective,
    score_transfer,
    transfer_cohort,
)
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.scorings import Cohort, Evaluated, to_cases
from stages.evaluation.subtype_tasks import add_subtype_tasks
from stages.evaluation.summaries import summarise_classification, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    embeddings: Annotated[Path, typer.Option(help="Embeddings of the objective, every seed (safetensors).")],
    index: Annotated[Path, typer.Option(help="What the rows of the embeddings are (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies (Parquet).")],
    lesions: Annotated[Path, typer.Option(help="Lesions of the studies, for the subtype tasks (Parquet).")],
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
    findings = Labels.load(labels)
    cohort = Cohort.build(vectors.images, add_subtype_tasks(findings, lesions, section.subtype_tasks))
    views = transfer_cohort(vectors, findings)
    meaning = {prompt["prompt_id"]: (prompt["finding"], prompt["polarity"]) for prompt in prompts}
    parts = [
        Evaluated(cohort, section.splits, list(score_objective(vectors, cohort, meaning, section))),
        Evaluated(views, [TEST_SEQUENCE], list(score_transfer(vectors, views, meaning, section))),
    ]
    tables.write(out, to_cases(parts, name=name), evaluation_tables.CLASSIFICATION_CASES)
    summary = summarise_classification(parts, min_positives=section.min_positives, tasks=section.subtype_tasks)
    write_json(metrics, summary)
    if not len(vectors.transfer):
        logger.info("%s: no view of an unseen sequence; nothing to say of its transfer", index.name)
    logger.info("evaluate_classification: %s, %d studies, %d views", name, len(cohort.study_ids), len(views.study_ids))


if __name__ == "__main__":
    typer.run(main)
