"""Count the false negatives that every objective trains on, and the recall that equal texts cost it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import Field, RootModel

from stages.artifacts import audit_tables, evaluation_tables, tables
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.negatives import DataOrder, Judge, audit_negatives
from stages.evaluation.recall_loss import RecallLoss, summarise_loss
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, Params, load
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.pretraining.similarity_source import SimilaritySource
from stages.reports.similarity import BatchSimilarity

logger = logging.getLogger(__name__)


class AuditNegatives(Params):
    """Section ``audit_negatives``.

    Attributes:
        similarity: entry of ``similarities`` by which texts nearly repeat each other.
        thresholds: from which they do; the same text is counted besides.
        splits: splits whose recall is taken apart, by the lowest threshold.
        recall_at: lengths of the list that counts.
        num_threads: CPU threads; fixed, since sums depend on their order.
    """

    similarity: str
    thresholds: list[float] = Field(min_length=1)
    splits: list[str]
    recall_at: list[int] = Field(min_length=1)
    num_threads: int = Field(default=2, ge=1)


class Objectives(RootModel[dict[str, ObjectiveEntry]]):
    """Section ``objectives``."""


def main(
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs and sentence offsets.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    similarities: Annotated[Path, typer.Option(help="Folder of similarity files.")],
    embeddings: Annotated[Path, typer.Option(help="Folder of embeddings and their indices, by objective.")],
    out: Annotated[Path, typer.Option(help="Table of negatives to write (Parquet).")],
    recall: Annotated[Path, typer.Option(help="Folder for the cases of lost recall, by objective.")],
    metrics: Annotated[Path, typer.Option(help="Means over seeds to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Meet the batches of training again, and take the recall of every objective apart."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("audit_negatives", AuditNegatives, params)
    torch.set_num_threads(section.num_threads)
    objectives = load("objectives", Objectives, params).root
    reference = BatchSimilarity.load(similarities / f"{section.similarity}.safetensors", texts)
    order = DataOrder.load(volumes, texts, splits, load("pretrain", PretrainParams, params))
    built = [Judge.build(name, e, order, similarities=similarities, texts=texts) for name, e in objectives.items()]
    rows = audit_negatives(order, [judge for judge in built if judge is not None], reference, section.thresholds)
    tables.write(out, tables.from_rows(audit_tables.NEGATIVES, rows), audit_tables.NEGATIVES)
    shutil.rmtree(recall, ignore_errors=True)
    lost = {name: take_apart(name, embeddings, recall, reference, section) for name in objectives}
    write_json(metrics, {"negatives": summarise(rows), "recall": lost})
    logger.info("audit_negatives: %d objectives", len(objectives))


def take_apart(
    name: str, embeddings: Path, out: Path, reference: SimilaritySource, section: AuditNegatives
) -> dict[str, Any]:
    """Write the cases of one objective, and return their means."""
    loaded = Embeddings.load(embeddings / f"{name}.safetensors", embeddings / f"{name}.parquet")
    loss = RecallLoss(name, loaded, reference, min(section.thresholds), section.recall_at)
    cases = loss.run(section.splits)
    tables.write(out / f"{name}.parquet", cases, evaluation_tables.MEASURE_CASES)
    return summarise_loss(cases)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share of near-duplicates among the negatives by objective, rule and threshold, mean over seeds."""
    shares: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["share"] is not None:
            of_objective = shares.setdefault(row["objective"], {})
            what = "same_text" if row["threshold"] is None else f"{row['threshold']:g}"
            of_objective.setdefault(f"{row['rule']}_{what}", []).append(row["share"])
    return {
        name: {key: round(sum(values) / len(values), 6) for key, values in of_objective.items()}
        for name, of_objective in shares.items()
    }


if __name__ == "__main__":
    typer.run(main)
