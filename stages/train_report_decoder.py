"""Train the decoder that writes the reports of every method, on training reports alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from stages.evaluation.report_writing import DecoderParams
from stages.evaluation.summaries import write_json
from stages.evaluation.trained_decoder import train_on_reports
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)

# Updates at the end whose mean loss is reported.
_LAST = 20


def main(
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs and sentence embeddings.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    out: Annotated[Path, typer.Option(help="Decoder to write (safetensors); it holds words of reports.")],
    metrics: Annotated[Path, typer.Option(help="Size of the vocabulary and last losses to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Train the decoder once; every objective and seed writes with it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("train_report_decoder", DecoderParams, params)
    torch.set_num_threads(section.num_threads)
    decoder, losses = train_on_reports(texts, splits, findings, section)
    decoder.save(out, section)
    loss = round(float(np.mean(losses[-_LAST:])), 4)
    write_json(metrics, {"vocabulary": len(decoder.vocabulary), "training_loss": loss})
    message = "train_report_decoder: %d texts, %d words, loss %.3f a word"
    logger.info(message, len(decoder.place), len(decoder.vocabulary), loss)


if __name__ == "__main__":
    typer.run(main)
