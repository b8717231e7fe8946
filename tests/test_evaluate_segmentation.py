"""Segmentation from its entry point, on a tiny cohort with bright blobs."""

import json

import numpy as np
import pytest
import torch
from pretraining_cohort import SEQUENCES, write_cohort, write_params
from ruamel.yaml import YAML

from stages import evaluate_segmentation, pretrain
from stages.artifacts import cohort_tables, evaluation_tables, mask_tables, tables, tensors
from stages.evaluation.segmentation_training import SegmentationTrainer
from stages.imaging.shards import VolumeStore
from stages.pretraining.export import load_encoders

SECTION = {
    "splits": ["test"],
    "tuning": "frozen",
    "width": 4,
    "stride": 2,
    "updates": 60,
    "batch_size": 4,
    "optimiser": {"learning_rate": 0.02, "weight_decay": 0.01},
    "label_fractions": [0.05, 1.0],
    "draw_seed": 5,
    "thresholds": [0.1, 0.3, 0.5, 0.7],
    "num_threads": 2,
    "max_resident_gib": 1.0,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A cohort with the masks of its blobs, and encoders of two seeds."""
    root = tmp_path_factory.mktemp("segmentation")
    cohort = write_cohort(root / "c")
    write_params(root, seeds="0, 1")
    pretrain.main(**cohort.options("clip", root))
    _write_masks(root / "masks", cohort)
    return root, cohort


def _write_masks(folder, cohort):
    """Take every voxel that is brighter than the noise can be."""
    store = VolumeStore(cohort.root / "volumes")
    maps = {}
    for row in store.table.to_pylist():
        if row["sequence"] == SEQUENCES[0]:
            maps[row["study_id"]] = (store.read(row["series_id"]) > 120).astype(np.uint8)
    rows = [
        {"study_id": s, "lesion": 0, "finding": "infarct", "label": 1, "num_voxels": int(m.sum()), "volume_ml": 1.0}
        for s, m in maps.items()
        if m.any()
    ]
    tables.write(folder / mask_tables.MASK_TABLE, tables.from_rows(mask_tables.MASKS, rows), mask_tables.MASKS)
    tensors.write(folder / mask_tables.MASK_MAPS, maps, {"spacing_mm": [6.0, 6.0, 6.0]})


def evaluate(trained, out, *, masks=None, from_scratch=False, **changes):
    root, cohort = trained
    out.mkdir(parents=True, exist_ok=True)
    with (out / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"evaluate_segmentation": SECTION | changes}, file)
    evaluate_segmentation.main(
        name="clip",
        model=root / "model",
        **cohort.inputs,
        masks=masks or root / "masks",
        out=out / "cases.parquet",
        metrics=out / "metrics.json",
        from_scratch=from_scratch,
        params=out / "params.yaml",
    )
    cases = tables.read(out / "cases.parquet", evaluation_tables.MEASURE_CASES).to_pylist()
    return cases, json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def mean_dice(cases, fraction):
    return np.mean(
        [
            row["value"]
            for row in cases
            if (row["metric"], row["class"]) == ("dice", "all") and row["label_fraction"] == pytest.approx(fraction)
        ]
    )


@pytest.mark.parametrize("changes", [{}, {"tuning": "full"}, {"from_scratch": True}, {"max_resident_gib": 0.0}])
def test_blobs_are_found_with_all_masks(trained, tmp_path, changes):
    cases, metrics = evaluate(trained, tmp_path, **changes)
    assert mean_dice(cases, 1.0) > 0.5
    assert metrics["test"]["dice_1"] == pytest.approx(mean_dice(cases, 1.0), abs=1e-5)
    assert {row["metric"] for row in cases} <= {"dice", "hd95_mm", "lesion_free"}
    assert {row["seed"] for row in cases} == {0, 1}


def test_a_case_is_a_study_of_the_evaluated_split(trained, tmp_path):
    cases, _ = evaluate(trained, tmp_path, updates=2)
    rows = tables.read(trained[1].inputs["splits"], cohort_tables.SPLIT_TABLE).to_pylist()
    test = {row["study_id"]: row["patient_id"] for row in rows if row["split"] == "test"}
    assert {row["study_id"]: row["patient_id"] for row in cases} == test
    keys = [tuple(row[k] for k in ("seed", "study_id", "metric", "class", "label_fraction")) for row in cases]
    assert len(set(keys)) == len(keys)
    with_lesion = {row["study_id"] for row in cases if row["metric"] == "dice"}
    assert with_lesion == {row["study_id"] for row in cases if row["class"] == "infarct"}
    assert not with_lesion & {row["study_id"] for row in cases if row["metric"] == "lesion_free"}


def test_neither_a_second_run_nor_the_number_of_threads_changes_a_value(trained, tmp_path):
    first, _ = evaluate(trained, tmp_path / "a", updates=8)
    assert evaluate(trained, tmp_path / "b", updates=8)[0] == first
    assert evaluate(trained, tmp_path / "c", updates=8, num_threads=1)[0] == first


@pytest.mark.parametrize("tuning", ["frozen", "full"])
def test_training_leaves_a_frozen_encoder_as_it_is(trained, tmp_path, monkeypatch, tuning):
    networks = []
    judged = SegmentationTrainer._train_and_judge

    def spy(self, job):
        networks.append(job.network)
        return judged(self, job)

    monkeypatch.setattr(SegmentationTrainer, "_train_and_judge", spy)
    evaluate(trained, tmp_path, updates=3, tuning=tuning, label_fractions=[1.0], num_threads=1)
    for seed, network in enumerate(networks):
        before = load_encoders(trained[0] / "model", seed).image.state_dict()
        after = network.encoder.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert bool(changed) == (tuning == "full")


def test_scratch_starts_where_every_pretraining_starts(trained, tmp_path):
    root, cohort = trained
    write_params(tmp_path, seeds="0, 1")
    pretrain.main(**cohort.options("random", tmp_path))
    drawn = evaluate_segmentation.load_encoder(root / "model", 1, from_scratch=True).state_dict()
    random = load_encoders(tmp_path / "model", 1).image.state_dict()
    assert drawn.keys() == random.keys()
    assert all(torch.equal(drawn[name], random[name]) for name in drawn)


def test_unit_sequence_has_one_value_a_study(tmp_path):
    cohort = write_cohort(tmp_path / "c", unit="sequence")
    write_params(tmp_path)
    pretrain.main(**cohort.options("clip", tmp_path))
    _write_masks(tmp_path / "masks", cohort)
    cases, _ = evaluate((tmp_path, cohort), tmp_path / "out", updates=2, label_fractions=[1.0])
    whole = [row["study_id"] for row in cases if row["class"] == "all" and row["metric"] != "hd95_mm"]
    assert len(whole) == len(set(whole)) == 6


def test_without_masks_the_tables_are_empty(trained, tmp_path, caplog):
    caplog.set_level("INFO")
    tables.write(tmp_path / mask_tables.MASK_TABLE, tables.from_rows(mask_tables.MASKS, []), mask_tables.MASKS)
    tensors.write(tmp_path / mask_tables.MASK_MAPS, {}, {"spacing_mm": None})
    assert evaluate(trained, tmp_path / "out", masks=tmp_path) == ([], {})
    assert "no study has a lesion mask" in caplog.text


def test_without_a_training_lesion_the_tables_are_empty(trained, tmp_path, caplog):
    caplog.set_level("INFO")
    root, cohort = trained
    rows = tables.read(cohort.inputs["splits"], cohort_tables.SPLIT_TABLE).to_pylist()
    test = {row["study_id"] for row in rows if row["split"] == "test"}
    maps = {s: m for s, m in tensors.read(root / "masks" / mask_tables.MASK_MAPS).items() if s in test}
    lesions = tables.read(root / "masks" / mask_tables.MASK_TABLE, mask_tables.MASKS).to_pylist()
    kept = tables.from_rows(mask_tables.MASKS, [row for row in lesions if row["study_id"] in test])
    tables.write(tmp_path / mask_tables.MASK_TABLE, kept, mask_tables.MASKS)
    tensors.write(tmp_path / mask_tables.MASK_MAPS, maps, {"spacing_mm": [6.0, 6.0, 6.0]})
    assert evaluate(trained, tmp_path / "out", masks=tmp_path) == ([], {})
    assert "no training study has a lesion" in caplog.text
