"""Find the lesions that a phrase speaks of, by the similarity of its embedding to the patches of the study."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.grounding_inputs import GroundingInputs, GroundingPaths
from stages.evaluation.grounding_maps import localise
from stages.evaluation.localisation import KINDS, LocalisationParams, summarise, to_table
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_encoders

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs, prompts and sentence embeddings.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    masks: Annotated[Path, typer.Option(help="Folder with lesion masks on the volume grid.")],
    out: Annotated[Path, typer.Option(help="Measure cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score the similarity maps of prompts and report sentences against lesion masks, every seed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_localisation", LocalisationParams, params)
    torch.set_num_threads(section.num_threads)
    towers = load_encoders(model, exported_seeds(model)[0])
    paths = GroundingPaths(volumes, texts, findings, splits, masks)
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    if not towers.config.aligns_text:
        logger.info("evaluate_localisation: %s shares no space with texts, so no phrase can be looked for", name)
    elif not (inputs := GroundingInputs.load(towers, paths, [VALIDATION, *section.splits])).cases:
        logger.info("evaluate_localisation: no lesion masks in the evaluated splits, so nothing can be looked for")
    else:
        rows, about = localise(name, model, inputs, section)
        num_known = [int(inputs.has_phrase(kind).sum()) for kind in KINDS]
        message = "evaluate_localisation: %s, %d findings with a mask, %d with prompts, %d stated by a sentence"
        logger.info(message, name, len(inputs.cases), *num_known)
    table = to_table(rows)
    tables.write(out, table, evaluation_tables.MEASURE_CASES)
    write_json(metrics, summarise(table) | about)


if __name__ == "__main__":
    typer.run(main)
