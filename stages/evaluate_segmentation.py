"""Outline lesions with the encoders of one objective, learned from a few masks or from all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from torch import nn

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.masks import MaskedCohort
from stages.evaluation.segmentation import TRAIN, VALIDATION, SegmentationParams, Verdict, summarise, to_rows
from stages.evaluation.summaries import write_json
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.towers import build_towers

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs.parquet, which orders the images.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    masks: Annotated[Path, typer.Option(help="Folder with lesion masks on the volume grid.")],
    out: Annotated[Path, typer.Option(help="Measure cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean of each metric to write (JSON).")],
    from_scratch: Annotated[
        bool, typer.Option(help="Draw the encoders anew, as every pretraining starts, and train them in full.")
    ] = False,
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Train a decoder for every seed and share of the masks; write Dice and HD95 of every study."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_segmentation", SegmentationParams, params)
    if from_scratch:
        section = section.model_copy(update={"tuning": "full"})
    config, store = load_config(model), VolumeStore(volumes)
    images = load_images(store.table, texts, splits, config.sequences, config.unit)
    images = images.only({TRAIN, VALIDATION, *section.splits})
    cohort = MaskedCohort.load(masks, images)
    verdicts: list[Verdict] = []
    if missing := cohort.missing(section.splits):
        logger.info("evaluate_segmentation: %s, so nothing is outlined", missing)
    else:
        # MONAI takes seconds to import; only a training needs it.
        from stages.evaluation.segmentation_training import SegmentationTrainer

        resident = section.max_resident_gib
        standardiser = Standardiser.load(model)
        bank = ImageBank(
            store, images.series, len(config.sequences), standardise_by=standardiser, max_resident_gib=resident
        )
        verdicts = SegmentationTrainer(bank, cohort, section).run(
            {seed: load_encoder(model, seed, from_scratch=from_scratch) for seed in exported_seeds(model)}
        )
    cases = tables.from_rows(evaluation_tables.MEASURE_CASES, to_rows(name, cohort, verdicts))
    tables.write(out, cases, evaluation_tables.MEASURE_CASES)
    write_json(metrics, summarise(cases, verdicts))
    logger.info("evaluate_segmentation: %s, %d trainings, %d cases", name, len(verdicts), len(cases))


def load_encoder(model: Path, seed: int, *, from_scratch: bool) -> nn.Module:
    """Load the image encoder of a seed, or draw it as it was before any pretraining."""
    return build_towers(load_config(model), seed).image if from_scratch else load_encoders(model, seed).image


if __name__ == "__main__":
    typer.run(main)
