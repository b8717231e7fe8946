"""Place findings without looking at an image: by chance, and by where they lie in training studies."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.cases import CHANCE, PRIOR
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.region_cases import summarise_regions
from stages.evaluation.region_scores import RegionInputs, RegionPaths
from stages.evaluation.regions import TRAIN, reference_tables
from stages.evaluation.summaries import write_json
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_encoders

logger = logging.getLogger(__name__)


def main(
    model: Annotated[Path, typer.Option(help="Exported encoders of any objective: what an image and a patch is.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs, prompts and their sentence embeddings.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    truth: Annotated[Path, typer.Option(help="Folder with the studies and lesions of the truth.")],
    atlas: Annotated[Path, typer.Option(help="Folder with the regions of every study.")],
    chance: Annotated[Path, typer.Option(help="Region cases of chance to write (Parquet).")],
    prior: Annotated[Path, typer.Option(help="Region cases by the frequency in training to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each figure to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Score the cases that the objectives are scored on, blindly."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_regions", RegionsParams, params)
    torch.set_num_threads(section.num_threads)
    towers = load_encoders(model, exported_seeds(model)[0])
    paths = RegionPaths(volumes, texts, splits, truth, atlas)
    inputs = RegionInputs.load(towers, paths, [TRAIN, VALIDATION, *section.splits])
    summary = {}
    found = reference_tables(inputs.truth, section.splits)
    for name, path in ((CHANCE, chance), (PRIOR, prior)):
        tables.write(path, found[name], evaluation_tables.REGION_CASES)
        summary[name] = summarise_regions(found[name], section.min_positives)
    write_json(metrics, summary)
    about = inputs.truth
    logger.info("evaluate_regions_references: %d studies, %d findings", len(about.study_ids), len(about.findings))


if __name__ == "__main__":
    typer.run(main)
