"""Evaluate what stands beside the methods: chance in closed form, and metadata without images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.cases import CHANCE, METADATA
from stages.evaluation.classification import ClassificationParams, Cohort, score_probes, to_cases, uninformed_scores
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.metadata import read_features
from stages.evaluation.relevance import Relevance
from stages.evaluation.retrieval import RetrievalEvaluation, RetrievalParams
from stages.evaluation.summaries import summarise_classification, summarise_retrieval, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    index: Annotated[Path, typer.Option(help="Index of any objective's embeddings: the studies that all are asked.")],
    series: Annotated[Path, typer.Option(help="Series of the cohort, for the metadata (Parquet).")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Folder of relevance classes and their gains.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts.parquet, for the languages.")],
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
    languages = tables.read(texts / "texts.parquet", report_tables.TEXTS, columns=["text_id", "language"]).to_pydict()
    ranked = RetrievalEvaluation(
        name=CHANCE,
        embeddings=uninformed,
        relevance=Relevance.load(relevance),
        languages=dict(zip(languages["text_id"], languages["language"], strict=True)),
        params=load("evaluate_retrieval", RetrievalParams, params),
    ).run()
    cohort = Cohort.build(uninformed.images, Labels.load(labels))
    features = read_features(series, cohort.study_ids)
    guesses = list(uninformed_scores(cohort, section))
    probes = list(score_probes(features, cohort, section, seed=0))
    tables.write(retrieval, ranked, evaluation_tables.RETRIEVAL_CASES)
    for path, name, scorings in ((chance, CHANCE, guesses), (metadata, METADATA, probes)):
        tables.write(path, to_cases(scorings, cohort, section, name=name), evaluation_tables.CLASSIFICATION_CASES)
    summary = {
        CHANCE: summarise_retrieval(ranked) | {"classification": summarise_classification(guesses, cohort, section)},
        METADATA: summarise_classification(probes, cohort, section),
    }
    write_json(metrics, summary)
    logger.info("evaluate_references: %d studies, %d metadata features", len(cohort.study_ids), features.shape[1])


if __name__ == "__main__":
    typer.run(main)
