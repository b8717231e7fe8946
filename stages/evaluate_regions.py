"""Tell in which regions of the atlas a finding lies, by prompts and by the objective's own presence head."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Annotated

import torch
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.region_cases import summarise_regions
from stages.evaluation.region_scores import RegionInputs, RegionPaths
from stages.evaluation.regions import Evaluated, evaluate_seeds
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_encoders

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders, and of the objective's own heads.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs, prompts and their sentence embeddings.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    truth: Annotated[Path, typer.Option(help="Folder with the studies and lesions of the truth.")],
    atlas: Annotated[Path, typer.Option(help="Folder with the regions of every study.")],
    out: Annotated[Path, typer.Option(help="Folder for region cases, a file for each row of the tables.")],
    metrics: Annotated[Path, typer.Option(help="Mean of each figure to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score every finding in every region of the evaluated studies, every seed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_regions", RegionsParams, params)
    torch.set_num_threads(section.num_threads)
    towers = load_encoders(model, exported_seeds(model)[0])
    paths = RegionPaths(volumes, texts, splits, truth, atlas)
    inputs = RegionInputs.load(towers, paths, [VALIDATION, *section.splits])
    found = Evaluated()
    if not inputs.truth.findings or not inputs.truth.study_ids:
        logger.info("evaluate_regions: no study with a registered atlas has lesions of known place; nothing to score")
    else:
        found = evaluate_seeds(name, model, inputs, section)
        message = "evaluate_regions: %s, %d studies, %d findings in %d regions"
        about = inputs.truth
        logger.info(message, name, len(about.study_ids), len(about.findings), len(about.regions))
    shutil.rmtree(out, ignore_errors=True)
    summary = {}
    for ending, cases in found.tables().items():
        tables.write(out / f"{name}{ending}.parquet", cases, evaluation_tables.REGION_CASES)
        if len(cases):
            summary[name + ending] = summarise_regions(cases, section.min_positives)
    counts = {"studies": inputs.truth.count(section.splits), "left_out": inputs.truth.left_out}
    write_json(metrics, summary | counts | {"sharpness": found.sharpness})


if __name__ == "__main__":
    typer.run(main)
