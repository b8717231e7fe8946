"""Rank reports for images and images for reports with the embeddings of one objective."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.retrieval import RetrievalParams
from stages.evaluation.retrieval_inputs import RetrievalInputs
from stages.evaluation.summaries import summarise_retrieval, write_json
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    embeddings: Annotated[Path, typer.Option(help="Embeddings of the objective, every seed (safetensors).")],
    index: Annotated[Path, typer.Option(help="What the rows of the embeddings are (Parquet).")],
    relevance: Annotated[Path, typer.Option(help="Folder of relevance classes and their gains.")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies, for the categories (Parquet).")],
    texts: Annotated[Path, typer.Option(help="Folder of texts, their statements and the category queries.")],
    reports: Annotated[Path, typer.Option(help="Folder with findings.parquet, for what the texts say.")],
    out: Annotated[Path, typer.Option(help="Retrieval cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Evaluate image→text, text→image and image→image retrieval, by study and by category."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    inputs = RetrievalInputs.load(relevance=relevance, labels=labels, texts=texts, reports=reports)
    section = load("evaluate_retrieval", RetrievalParams, params)
    cases = inputs.evaluate(name, Embeddings.load(embeddings, index), section)
    tables.write(out, cases, evaluation_tables.RETRIEVAL_CASES)
    write_json(metrics, summarise_retrieval(cases))
    logger.info("evaluate_retrieval: %s, %d cases", name, len(cases))


if __name__ == "__main__":
    typer.run(main)
