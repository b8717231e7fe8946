"""evaluate_finetuning from its entry point, on the tiny cohort of pretraining."""

import json
import logging

import numpy as np
import pytest
from pretraining_cohort import SEQUENCES, SHAPE, WIDTH, write_cohort
from ruamel.yaml import YAML

from stages import evaluate_finetuning
from stages.artifacts import evaluation_tables, tables, truth_tables
from stages.evaluation.classifiers import Trainer
from stages.imaging.shards import VolumeStore
from stages.pretraining.export import export_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.towers import TowerConfig, build_towers

SEEDS = (0, 1)
PARAMS = {
    "evaluate_classification": {
        "splits": ["test"], "min_positives": 1, "label_fractions": [0.1, 1.0], "shots": [1], "num_draws": 3,
        "draw_seed": 2, "probed": "image",
        "subtype_tasks": {"age": {"finding": "infarct", "positive": "acute infarct", "negative": "chronic infarct"}},
    },
    "evaluate_finetuning": {
        "passes": 1, "min_updates": 2, "max_updates": 4, "batch_size": 8, "num_checkpoints": 2, "num_threads": 2,
        "optimiser": {"learning_rate": 1e-3},
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=["study", "sequence"])
def cohort(request, tmp_path_factory):
    """A cohort with exported encoders as they are drawn, lesions and parameters."""
    cohort = write_cohort(tmp_path_factory.mktemp("cohort") / "c", request.param)
    store = VolumeStore(cohort.root / "volumes")
    images = load_images(store.table, cohort.root / "texts", cohort.root / "splits.parquet", SEQUENCES, request.param)
    bank = ImageBank(
        store, images.series, 3, standardise_by=images.rows_in({"train"}), max_resident_gib=1.0
    )  # fmt: skip
    config = TowerConfig(
        unit=request.param, sequences=SEQUENCES, shape=list(SHAPE), embedding_dim=16, frozen_width=WIDTH,
        projection="linear", image={"stem_width": 8, "fine_width": 16, "width": 32}, text={},
    )  # fmt: skip
    for seed in SEEDS:
        export_encoders(cohort.root / "model", build_towers(config, seed), seed)
    bank.standardiser.save(cohort.root / "model")
    write_lesions(cohort.root / "lesions.parquet", sorted(set(images.study_ids)))
    with (cohort.root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(PARAMS, file)
    return cohort


def write_lesions(path, study_ids):
    rows = [
        {
            "study_id": study, "lesion": 0, "finding": "infarct", "size_mm": 5.0, "volume_ml": 1.0, "signals": [],
            "subtype": "acute infarct" if n % 2 else "chronic infarct", "template_voxels": [],
            "template_shape": [2, 2, 2],
        }
        for n, study in enumerate(study_ids)
    ]  # fmt: skip
    tables.write(path, tables.from_rows(truth_tables.LINKED_LESIONS, rows), truth_tables.LINKED_LESIONS)


def evaluate(cohort, out, **options):
    defaults = {
        "name": "clip",
        "model": cohort.root / "model",
        **cohort.inputs,
        "labels": cohort.root / "labels.parquet",
        "lesions": cohort.root / "lesions.parquet",
        "out": out / "cases.parquet",
        "metrics": out / "metrics.json",
        "params": cohort.root / "params.yaml",
    }
    evaluate_finetuning.main(**(defaults | options))
    return tables.read(out / "cases.parquet", evaluation_tables.CLASSIFICATION_CASES)


def test_cases_hold_every_seed_budget_class_and_study(cohort, tmp_path):
    cases = evaluate(cohort, tmp_path).to_pandas()
    assert set(cases["protocol"]) == {"fine_tuning"}
    assert set(cases["split"]) == {"validation", "test"}
    # cyst has no positive study at all.
    assert set(cases["class"]) == {"infarct", "mass", "age"}
    assert cases["draw"].isna().all()
    budgets = cases[["seed", "label_fraction", "shots"]].drop_duplicates().astype(float).round(3)
    assert len(budgets) == len(SEEDS) * 3
    assert set(budgets["shots"].dropna()) == {1}
    assert set(budgets["label_fraction"].dropna()) == {0.1, 1.0}
    assert len(cases[cases["class"] == "infarct"]) == len(budgets) * (8 + 6)
    assert not cases.duplicated(["seed", "label_fraction", "shots", "class", "study_id"]).any()
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert {"fine_tuning_1_shot_macro_auc", "fine_tuning_1_age_auc"} <= set(metrics["test"])


def test_an_interrupted_run_leaves_nothing_and_is_repeated_to_the_bit(cohort, tmp_path, monkeypatch):
    evaluate(cohort, tmp_path / "whole")
    trained, num_trained = Trainer.train, []

    def interrupt(self, *arguments):
        num_trained.append(1)
        if len(num_trained) == 4:
            raise KeyboardInterrupt("stopped")
        return trained(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", interrupt)
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            evaluate(cohort, tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    evaluate(cohort, tmp_path / "killed")
    for name in ("cases.parquet", "metrics.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_cohort_without_labels_passes_with_an_empty_table(cohort, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    tables.write(tmp_path / "labels.parquet", tables.from_rows(truth_tables.LABELS, []), truth_tables.LABELS)
    write_lesions(tmp_path / "lesions.parquet", [])
    cases = evaluate(cohort, tmp_path, labels=tmp_path / "labels.parquet", lesions=tmp_path / "lesions.parquet")
    assert not len(cases)
    assert "labels.parquet: no training study with a label that varies; nothing to fine-tune on" in caplog.messages
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == {"test": {}}


def test_studies_are_scored_with_the_draws_of_their_seed(cohort, tmp_path):
    cases = evaluate(cohort, tmp_path).to_pandas()
    of_class = cases[(cases["class"] == "infarct") & (cases["split"] == "test")]
    by_seed = [of_class[of_class["seed"] == seed]["score"].to_numpy() for seed in SEEDS]
    assert not np.allclose(*by_seed)
