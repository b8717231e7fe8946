"""Localise what stands beside the methods: chance in closed form, and the true mask at the resolution of patches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.cases import CHANCE, ORACLE
from stages.evaluation.grounding_inputs import GroundingInputs, GroundingPaths
from stages.evaluation.localisation import KINDS, LocalisationParams, reference_rows, summarise, to_table
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_encoders

logger = logging.getLogger(__name__)


def main(
    model: Annotated[Path, typer.Option(help="Exported encoders of any objective: what an image and a patch is.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs, prompts and sentence embeddings.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    masks: Annotated[Path, typer.Option(help="Folder with lesion masks on the volume grid.")],
    chance: Annotated[Path, typer.Option(help="Measure cases of chance to write (Parquet).")],
    oracle: Annotated[Path, typer.Option(help="Measure cases of the oracle to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score chance and the oracle on the cases that the objectives are scored on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_localisation", LocalisationParams, params)
    torch.set_num_threads(section.num_threads)
    towers = load_encoders(model, exported_seeds(model)[0])
    paths = GroundingPaths(volumes, texts, findings, splits, masks)
    inputs = GroundingInputs.load(towers, paths, section.splits)
    has_phrase = {kind: inputs.has_phrase(kind) for kind in KINDS}
    summary = {}
    for name, path in ((CHANCE, chance), (ORACLE, oracle)):
        table = to_table(reference_rows(name, inputs.cases, has_phrase, section))
        tables.write(path, table, evaluation_tables.MEASURE_CASES)
        summary[name] = summarise(table)
    write_json(metrics, summary)
    if inputs.cases:
        logger.info("evaluate_localisation_references: %d findings with a mask", len(inputs.cases))
    else:
        logger.info("evaluate_localisation_references: no lesion masks in the evaluated splits; the tables are empty")


if __name__ == "__main__":
    typer.run(main)
