"""Let the encoders of one objective answer questions about studies, by a head that is trained the same for all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.answer_training import HeadTrainer
from stages.evaluation.cases import CHANCE
from stages.evaluation.own_answers import LabelHead, OwnHead, PresenceHead, answer_by_itself
from stages.evaluation.quantities import VALIDATION
from stages.evaluation.questions import PRESENCE, TRAIN
from stages.evaluation.summaries import write_json
from stages.evaluation.vqa import AskedCohort, VqaParams
from stages.imaging.region_store import RegionStore
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.own_heads import is_exported, load_heads
from stages.pretraining.pairs import ImageTable, load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.towers import Towers

logger = logging.getLogger(__name__)

#: number of the answer to each question, by seed
Answered = dict[int, np.ndarray]


def main(
    name: Annotated[str, typer.Option(help="Row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs.parquet and the embedded phrases.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    truth: Annotated[Path, typer.Option(help="Folder with labels and lesions by study.")],
    atlas: Annotated[Path, typer.Option(help="Folder with the regions of every study.")],
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
    cohort = AskedCohort.prepare(images, config.sequences, texts, truth, section)
    answered: Answered = {}
    own: Answered = {}
    if missing := cohort.missing(section.splits):
        logger.info("evaluate_vqa: %s, so nothing is asked", missing)
    else:
        if skipped := cohort.skipped():
            logger.info("evaluate_vqa: %s", skipped)
        resident, standardiser = section.max_resident_gib, Standardiser.load(model)
        bank = ImageBank(
            store, images.series, len(config.sequences), standardise_by=standardiser, max_resident_gib=resident
        )
        towers = {seed: load_encoders(model, seed) for seed in exported_seeds(model)}
        answered = train_heads(towers, bank, cohort, section, is_blind=blind)
        own = {} if blind else ask_own_heads(own_heads(model, atlas, towers, images), bank, cohort, section)
    right = {seed: (answer_Q == cohort.asked.answer_Q).astype(float) for seed, answer_Q in answered.items()}
    cases = [cohort.to_cases(name, right, section.splits), cohort.own_cases(name, PRESENCE, own, section.splits)]
    tables.write(out, pa.concat_tables(cases), evaluation_tables.MEASURE_CASES)
    tables.write(answers, cohort.to_answers(name, answered), evaluation_tables.VQA_ANSWERS)
    write_json(metrics, cohort.summarise(right, section.splits))
    if chance is not None:
        guessed = {0: cohort.asked.chance_Q} if answered else {}
        tables.write(chance, cohort.to_cases(CHANCE, guessed, section.splits), evaluation_tables.MEASURE_CASES)
    logger.info("evaluate_vqa: %s, %d questions, %d heads", name, len(cohort.asked), len(answered))


def train_heads(
    towers: Mapping[int, Towers], bank: ImageBank, cohort: AskedCohort, section: VqaParams, *, is_blind: bool
) -> Answered:
    """Answer by a head on the frozen image encoder of every seed, trained the same for all methods."""
    trainer = HeadTrainer(bank, cohort.studies, cohort.asked, cohort.phrases, section.head, section.batch_size)
    encoders = {seed: own.image for seed, own in towers.items()}
    return trainer.run(encoders, is_blind=is_blind, num_threads=section.num_threads)


def own_heads(model: Path, atlas: Path, towers: Mapping[int, Towers], images: ImageTable) -> dict[int, OwnHead]:
    """Open the heads that pretraining trained, where it did: for regions of the atlas, or for labels."""
    if is_exported(model):
        store = RegionStore.load(atlas)
        heads = {seed: load_heads(model, seed) for seed in towers}
        if all(own.tells_presence for own in heads.values()):
            return {seed: PresenceHead(towers[seed], own, store, images.study_ids) for seed, own in heads.items()}
    return {seed: LabelHead(own) for seed, own in towers.items() if own.label_head is not None}


def ask_own_heads(heads: Mapping[int, OwnHead], bank: ImageBank, cohort: AskedCohort, section: VqaParams) -> Answered:
    """Answer by the heads that pretraining trained."""
    return {
        seed: answer_by_itself(head, bank, cohort.studies, cohort.asked, section.batch_size)
        for seed, head in heads.items()
    }


if __name__ == "__main__":
    typer.run(main)
