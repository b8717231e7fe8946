"""Let the encoders of one objective answer questions about studies, by a head that is trained the same for all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.answer_training import School
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.questions import TRAIN
from stages.evaluation.summaries import write_json
from stages.evaluation.vqa import Interview, VqaParams
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.standardisation import Standardiser

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs.parquet and the embedded phrases.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    truth: Annotated[Path, typer.Option(help="Folder with labels and lesions by study.")],
    out: Annotated[Path, typer.Option(help="Measure cases to write (Parquet).")],
    answers: Annotated[Path, typer.Option(help="Questions with true and given answers to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Accuracies to write (JSON).")],
    blind: Annotated[bool, typer.Option(help="Show zeros in the place of every image.")] = False,
    chance: Annotated[Path | None, typer.Option(help="Measure cases of guessing to write too (Parquet).")] = None,
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Train an answering head on the encoder of every seed; write the answers and whether they are right."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("evaluate_vqa", VqaParams, params)
    config, store = load_config(model), VolumeStore(volumes)
    images = load_images(store.table, texts, splits, config.sequences, config.unit)
    images = images.only({TRAIN, VALIDATION, *section.splits})
    interview = Interview.prepare(images, config.sequences, texts, truth, section)
    answered: dict[int, np.ndarray] = {}
    if missing := interview.missing(section.splits):
        logger.info("evaluate_vqa: %s, so nothing is asked", missing)
    else:
        if skipped := interview.skipped():
            logger.info("evaluate_vqa: %s", skipped)
        resident, standardiser = section.max_resident_gib, Standardiser.load(model)
        bank = ImageBank(
            store, images.series, len(config.sequences), standardise_by=standardiser, max_resident_gib=resident
        )
        school = School(bank, interview.studies, interview.exam, interview.phrases, section.head, section.batch_size)
        encoders = {seed: load_encoders(model, seed).image for seed in exported_seeds(model)}
        answered = school.teach(encoders, is_blind=blind, num_threads=section.num_threads)
    write(interview, answered, section, name=name, out=out, answers=answers, metrics=metrics)
    if chance is not None:
        guessed = {0: interview.exam.chance_Q} if answered else {}
        tables.write(chance, interview.to_cases("chance", guessed, section.splits), evaluation_tables.MEASURE_CASES)


def write(
    interview: Interview,
    answered: dict[int, np.ndarray],
    section: VqaParams,
    *,
    name: str,
    out: Path,
    answers: Path,
    metrics: Path,
) -> None:
    """Write cases, answers and a summary of one row of the tables."""
    right = {seed: (answer_Q == interview.exam.answer_Q).astype(float) for seed, answer_Q in answered.items()}
    tables.write(out, interview.to_cases(name, right, section.splits), evaluation_tables.MEASURE_CASES)
    tables.write(answers, interview.to_answers(name, answered), evaluation_tables.VQA_ANSWERS)
    write_json(metrics, interview.summarise(right, section.splits))
    logger.info("evaluate_vqa: %s, %d questions, %d heads", name, len(interview.exam), len(answered))


if __name__ == "__main__":
    typer.run(main)
