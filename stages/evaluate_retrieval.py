"""Rank reports for images and images for reports with the embeddings of one objective."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.relevance import Relevance
from stages.evaluation.retrieval import RetrievalEvaluation, RetrievalParams
from stages.evaluation.summaries import summarise_retrieval, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    embeddings: Annotated[Path, typer.Option(help="Embeddings of the objective, every seed (safetensors).")],
    index: Annotated[Path, typer.Option(help="What the rows of the embeddings are (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Folder of relevance classes and their gains.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts.parquet, for the languages.")],
    out: Annotated[Path, typer.Option(help="Retrieval cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Evaluate image→text, text→image and image→image retrieval, one case per query."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    languages = tables.read(texts / "texts.parquet", report_tables.TEXTS, columns=["text_id", "language"]).to_pydict()
    evaluation = RetrievalEvaluation(
        name=name,
        embeddings=Embeddings.load(embeddings, index),
        relevance=Relevance.load(relevance),
        languages=dict(zip(languages["text_id"], languages["language"], strict=True)),
        params=load("evaluate_retrieval", RetrievalParams, params),
    )
    cases = evaluation.run()
    tables.write(out, cases, evaluation_tables.RETRIEVAL_CASES)
    write_json(metrics, summarise_retrieval(cases))
    logger.info("evaluate_retrieval: %s, %d cases", name, len(cases))


if __name__ == "__main__":
    typer.run(main)
