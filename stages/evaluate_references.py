"""Evaluate what stands beside the methods: chance in closed form, and metadata without images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.cases import CHANCE, METADATA
from stages.evaluation.classification import (
    TEST_SEQUENCE,
    ClassificationParams,
    as_transfer,
    score_probes,
    transfer_cohort,
    uninformed_scores,
    without_shots,
)
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.metadata import read_features
from stages.evaluation.retrieval import RetrievalParams
from stages.evaluation.retrieval_inputs import RetrievalInputs
from stages.evaluation.scorings import Cohort, Evaluated, to_cases
from stages.evaluation.subtype_tasks import add_subtype_tasks
from stages.evaluation.summaries import summarise_classification, summarise_retrieval, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    index: Annotated[Path, typer.Option(help="Index of any objective's embeddings: the studies that all are asked.")],
    series: Annotated[Path, typer.Option(help="Series of the cohort, for the metadata (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies (Parquet).")],
    lesions: Annotated[Path, typer.Option(help="Lesions of the studies, for the subtype tasks (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Folder of relevance classes and their gains.")],
    texts: Annotated[Path, typer.Option(help="Folder of texts, their statements and the category queries.")],
    reports: Annotated[Path, typer.Option(help="Folder with findings.parquet, for what the texts say.")],
    retrieval: Annotated[Path, typer.Option(help="Retrieval cases of chance to write (Parquet).")],
    chance: Annotated[Path, typer.Option(help="Classification cases of chance to write (Parquet).")],
    metadata: Annotated[Path, typer.Option(help="Classification cases of the metadata probe to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Evaluate a random ranking by its expectation, and a linear probe that sees metadata only."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_classification", ClassificationParams, params)
    uninformed = Embeddings.uninformed(index)
    inputs = RetrievalInputs.load(relevance=relevance, labels=labels, texts=texts, reports=reports)
    ranked = inputs.evaluate(CHANCE, uninformed, load("evaluate_retrieval", RetrievalParams, params))
    findings = Labels.load(labels)
    known = add_subtype_tasks(findings, lesions, section.subtype_tasks)
    cohorts = Cohort.build(uninformed.images, known), transfer_cohort(uninformed, findings)
    parts = {CHANCE: _guess(*cohorts, section), METADATA: _probe_metadata(series, *cohorts, section)}
    tables.write(retrieval, ranked, evaluation_tables.RETRIEVAL_CASES)
    summary = {}
    for name, path in {CHANCE: chance, METADATA: metadata}.items():
        tables.write(path, to_cases(parts[name], name=name), evaluation_tables.CLASSIFICATION_CASES)
        summary[name] = summarise_classification(
            parts[name], min_positives=section.min_positives, tasks=section.subtype_tasks
        )
    summary[CHANCE] = summarise_retrieval(ranked) | {"classification": summary[CHANCE]}
    write_json(metrics, summary)
    logger.info("evaluate_references: %d studies", len(cohorts[0].study_ids))


def _guess(cohort: Cohort, views: Cohort, params: ClassificationParams) -> list[Evaluated]:
    scorings = [as_transfer(scoring) for scoring in uninformed_scores(views, without_shots(params), is_tuned=False)]
    return [
        Evaluated(cohort, params.splits, list(uninformed_scores(cohort, params))),
        Evaluated(views, [TEST_SEQUENCE], scorings),
    ]


def _probe_metadata(series: Path, cohort: Cohort, views: Cohort, params: ClassificationParams) -> list[Evaluated]:
    scorings = list(score_probes(read_features(series, cohort.study_ids), cohort, params, seed=0))
    features_of_views = read_features(series, views.study_ids)
    of_views = [as_transfer(one) for one in score_probes(features_of_views, views, without_shots(params), seed=0)]
    return [Evaluated(cohort, params.splits, scorings), Evaluated(views, [TEST_SEQUENCE], of_views)]


if __name__ == "__main__":
    typer.run(main)
