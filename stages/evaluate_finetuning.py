"""Fine-tune the image encoders of one objective on few and on all labels, and classify studies with them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import evaluation_tables, tables
from stages.evaluation.classification import ClassificationParams
from stages.evaluation.embeddings import Images
from stages.evaluation.finetuning import FineTuner, FineTuningParams
from stages.evaluation.labels import Labels
from stages.evaluation.probes import list_budgets
from stages.evaluation.scorings import TRAIN, VALIDATION, Cohort, Evaluated, Scoring, to_cases
from stages.evaluation.subtype_tasks import add_subtype_tasks
from stages.evaluation.summaries import summarise_classification, write_json
from stages.imaging.shards import VolumeStore
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.standardisation import Standardiser

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Objective: the row of the tables that this is about.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs.parquet: the order of the studies.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    labels: Annotated[Path, typer.Option(help="Finding labels of the studies (Parquet).")],
    lesions: Annotated[Path, typer.Option(help="Lesions of the studies, for the subtype tasks (Parquet).")],
    out: Annotated[Path, typer.Option(help="Classification cases to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="Mean AUC under each budget of labels to write (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Train every seed's encoder further under every budget of labels, and score the evaluated splits."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    shared = load("evaluate_classification", ClassificationParams, params)
    section = load("evaluate_finetuning", FineTuningParams, params)
    known = add_subtype_tasks(Labels.load(labels), lesions, shared.subtype_tasks)
    config, store = load_config(model), VolumeStore(volumes)
    images = load_images(store.table, texts, splits, config.sequences, config.unit)
    images = images.only({TRAIN, VALIDATION, *shared.splits})
    shown = Images(images.study_ids, images.patient_ids, [*images.splits], images.text_ids_N.tolist())
    cohort = Cohort.build(shown, known)
    scorings: list[Scoring] = []
    if len(images):
        bank = ImageBank(
            store,
            images.series,
            len(config.sequences),
            standardise_by=Standardiser.load(model),
            max_resident_gib=section.max_resident_gib,
        )
        encoders = {seed: load_encoders(model, seed).image for seed in exported_seeds(model)}
        tuner = FineTuner(bank, cohort, shared.splits, section, draw_seed=shared.draw_seed)
        scorings = tuner.run(encoders, list_budgets(shared.label_fractions, shared.shots))
    if not scorings:
        logger.info("%s: no training study with a label that varies; nothing to fine-tune on", labels.name)
    parts = [Evaluated(cohort, shared.splits, scorings)]
    tables.write(out, to_cases(parts, name=name), evaluation_tables.CLASSIFICATION_CASES)
    write_json(metrics, summarise_classification(parts, min_positives=shared.min_positives, tasks=shared.subtype_tasks))
    logger.info("evaluate_finetuning: %s, %d trainings, %d studies", name, len(scorings), len(cohort.study_ids))


if __name__ == "__main__":
    typer.run(main)
