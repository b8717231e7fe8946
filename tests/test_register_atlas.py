"""The stage on a few simulated heads: contract, order, statuses, determinism."""

import numpy as np
import pytest
from simulated_heads import volume

from stages import register_atlas
from stages.artifacts import atlas_tables, imaging_tables, tables, tensors
from stages.imaging import atlas_preparation
from stages.imaging.atlas_preparation import plan_studies, register_studies
from stages.imaging.region_store import RegionStore
from stages.imaging.regions import list_regions
from stages.imaging.registration import RegistrationParams
from stages.imaging.shards import TABLE, VolumeStore, write_shard
from stages.params import load

# The ids are not in alphabetical order: the order of the volumes counts. Sequences in the order of the table.
STUDIES = {
    "c" * 16: [("FLAIR", True), ("T1", True)],
    "a" * 16: [("T1", False), ("FLAIR", True)],
    "d" * 16: [("T1", False)],
    "b" * 16: [("OTHER", True)],
    "e" * 16: [("T1", True)],
}
NO_HEAD = "e" * 16
PATCHES = 6 * 8 * 6


def write_volumes(folder, studies=STUDIES):
    """Write prepared volumes; a study shows the head of its place in the dictionary."""
    rows, shard = [], {}
    for head, (study_id, sequences) in enumerate(studies.items()):
        for number, (sequence, is_selected) in enumerate(sequences):
            voxels, grid = volume(head, "FLAIR" if sequence == "OTHER" else sequence)
            series_id = f"{head:08x}{number:08x}"
            shard[series_id] = np.zeros_like(voxels) if study_id == NO_HEAD else voxels
            rows.append(
                {
                    "series_id": series_id,
                    "study_id": study_id,
                    "patient_id": study_id,
                    "sequence": sequence,
                    "is_selected": is_selected,
                    "shard": "shards/0.safetensors",
                    "key": series_id,
                    "affine": grid.affine.ravel().tolist(),
                    "intensity_low": 0.0,
                    "intensity_high": 1.0,
                    "is_constant": False,
                    "foreground_fraction": 0.5,
                    "coverage": 1.0,
                    "signal_to_noise": 20.0,
                    "clipped_fraction": 0.0,
                    "tilt_deg": 0.0,
                }  # fmt: skip
            )
    write_shard(folder, "shards/0.safetensors", shard)
    tables.write(folder / TABLE, tables.from_rows(imaging_tables.VOLUMES, rows), imaging_tables.VOLUMES)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    write_volumes(folder / "volumes")
    register_atlas.main(folder / "volumes", folder / "atlas")
    return folder


@pytest.fixture(scope="module")
def params():
    return load("register_atlas", RegistrationParams)


def registrations(folder):
    path = folder / "atlas" / atlas_tables.REGISTRATION_TABLE
    return tables.read(path, atlas_tables.REGISTRATIONS).to_pylist()


def test_every_study_has_a_row_and_a_status_in_the_order_of_the_volumes(cohort):
    rows = registrations(cohort)
    assert [row["study_id"] for row in rows] == list(STUDIES)
    assert [row["status"] for row in rows] == ["ok", "ok", "no_volume", "no_volume", "implausible"]
    assert [row["sequence"] for row in rows] == ["T1", "FLAIR", None, None, "T1"]
    for row in rows[:2]:
        assert np.linalg.det(np.reshape(row["affine"], (4, 4))) == pytest.approx(row["determinant"])
        assert row["metric"] > 0.3
        assert row["overlap"] > 0.9
    assert rows[2]["affine"] is None


def test_weights_are_those_of_the_studies_that_were_registered(cohort):
    store = RegionStore.load(cohort / "atlas", PATCHES)
    weights = store.weights(list(STUDIES)[::-1])
    assert weights.dtype == np.float32
    assert weights.shape == (5, len(list_regions()), PATCHES)
    assert store.regions == tuple(list_regions())
    assert store.grid == (6, 8, 6)
    assert store.status == {row["study_id"]: row["status"] for row in registrations(cohort)}
    assert weights.min() == 0
    assert weights.max() == 1
    assert (weights.any(axis=(1, 2)) == [False, False, False, True, True]).all()
    whole_brain = store.regions[-1]
    assert whole_brain.name == "whole_brain"
    brain_ml = weights[-1, whole_brain.number].sum() * (4 * 6.0) ** 3 / 1000
    assert 1200 < brain_ml < 2400


def test_the_store_refuses_what_does_not_fit(cohort, tmp_path):
    with pytest.raises(ValueError, match=r"288 patches of 4 voxels, expected 100; let register_atlas\.patch_size"):
        RegionStore.load(cohort / "atlas", 100)
    store = RegionStore.load(cohort / "atlas")
    with pytest.raises(KeyError, match=r"no study f+ \(1 unknown\)"):
        store.weights(["a" * 16, "f" * 16])
    assert store.weights([]).shape == (0, len(store.regions), PATCHES)
    for name in (atlas_tables.REGION_TABLE, atlas_tables.REGISTRATION_TABLE):
        (tmp_path / name).write_bytes((cohort / "atlas" / name).read_bytes())
    about = {"patch_size": 4, "grid": [6, 8, 6]}
    tensors.write(tmp_path / atlas_tables.WEIGHTS, {atlas_tables.WEIGHT_KEY: np.zeros((4, 39, 288), np.uint8)}, about)
    with pytest.raises(ValueError, match=r"shape \(4, 39, 288\), expected \(5, 39, 288\)"):
        RegionStore.load(tmp_path)


def test_nothing_depends_on_the_number_of_workers_or_on_ids(cohort, params, monkeypatch, tmp_path):
    once = register_studies(VolumeStore(cohort / "volumes"), params, num_workers=1)
    monkeypatch.setattr(atlas_preparation, "_CHUNK", 2)
    again = register_studies(VolumeStore(cohort / "volumes"), params, num_workers=2)
    renamed = {f"{number:016x}": sequences for number, sequences in enumerate(list(STUDIES.values())[:-1])}
    write_volumes(tmp_path, renamed)
    other = register_studies(VolumeStore(tmp_path), params, num_workers=1)
    np.testing.assert_array_equal(once.weight_NRP, again.weight_NRP)
    np.testing.assert_array_equal(once.weight_NRP[:-1], other.weight_NRP)
    assert once.rows == again.rows
    assert [row["affine"] for row in once.rows[:-1]] == [row["affine"] for row in other.rows]


def test_the_stage_repeats_itself_to_the_byte(cohort, tmp_path):
    register_atlas.main(cohort / "volumes", tmp_path)
    for name in (atlas_tables.REGION_TABLE, atlas_tables.REGISTRATION_TABLE, atlas_tables.WEIGHTS):
        assert (tmp_path / name).read_bytes() == (cohort / "atlas" / name).read_bytes()


def test_the_first_sequence_of_the_list_is_registered():
    rows = [
        {"study_id": "s", "series_id": name, "sequence": name, "is_selected": is_selected, "affine": [0.0] * 16}
        for name, is_selected in (("FLAIR", True), ("T2", True), ("T1", False))
    ]
    assert [task.series_id for task in plan_studies(rows, ("T1", "T2", "FLAIR"))] == ["T2"]
    assert [task.series_id for task in plan_studies(rows, ("DWI", "FLAIR", "T2"))] == ["FLAIR"]
    assert [task.series_id for task in plan_studies(rows, ("SWI",))] == [None]


def test_patches_must_fill_the_volumes(cohort, params):
    with pytest.raises(ValueError, match=r"volumes of shape \(24, 32, 24\), expected axes divisible by 5"):
        register_studies(VolumeStore(cohort / "volumes"), params.model_copy(update={"patch_size": 5}))


def test_a_cohort_without_volumes_gives_empty_outputs(tmp_path):
    tables.write(tmp_path / "v" / TABLE, tables.from_rows(imaging_tables.VOLUMES, []), imaging_tables.VOLUMES)
    register_atlas.main(tmp_path / "v", tmp_path / "atlas")
    store = RegionStore.load(tmp_path / "atlas")
    assert store.status == {}
    assert len(store.regions) == len(list_regions())
    assert registrations(tmp_path) == []
