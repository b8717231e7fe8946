"""Write reports from the images of one objective, and compare them with the studies' own reports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.generation import GenerationParams, summarise, to_tables
from stages.evaluation.generation_inputs import GenerationInputs, write_reports
from stages.evaluation.summaries import write_json
from stages.evaluation.trained_decoder import TrainedDecoder
from stages.params import DEFAULT_PATH, load
from stages.reports.extraction import ExtractionParams

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    decoder: Annotated[Path, typer.Option(help="Decoder that all objectives share (safetensors).")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs and the statements of each text.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    atlas: Annotated[Path, typer.Option(help="Regions of every study, for an objective with its own decoder.")],
    out: Annotated[Path, typer.Option(help="Measure cases to write (Parquet).")],
    generated: Annotated[Path, typer.Option(help="The texts themselves to write (Parquet); they may quote reports.")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write a report about every evaluated image, every seed, and score its findings and its words."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_generation", GenerationParams, params)
    extraction = load("extract_findings", ExtractionParams, params)
    torch.set_num_threads(section.num_threads)
    inputs = GenerationInputs.load(model, volumes, texts, splits, section)
    judge = inputs.judge(texts, findings, extraction)
    written = write_reports(model, inputs, TrainedDecoder.load(decoder), section, atlas)
    cases, found = to_tables(name, written, judge)
    tables.write(out, cases, evaluation_tables.MEASURE_CASES)
    tables.write(generated, found, evaluation_tables.GENERATED_TEXTS)
    write_json(metrics, summarise(cases, written))
    logger.info("evaluate_generation: %s, %d texts, %d cases", name, len(written), len(cases))


if __name__ == "__main__":
    typer.run(main)
