"""pretrain and embed_studies from their entry points, on a tiny cohort."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining_cohort import (
    NORMAL,
    NUM_STUDIES,
    SEQUENCES,
    SHAPE,
    SMALL_TRANSFORMER,
    write_cohort,
    write_params,
)
from region_atlas import write_atlas

from stages import embed_studies, pretrain
from stages.artifacts import cohort_tables, tables, tensors
from stages.imaging.shards import VolumeStore
from stages.params import load
from stages.pretraining import export
from stages.pretraining.export import load_config, load_encoders
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.pretraining.towers import build_towers

ROOT = Path(__file__).parents[1]
TRAINED = ["clip", "convirt", "selip", "mlip", "gk_mvlp", "selip_shuffled", "released", "supervised", "clip_labels"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    cohort = write_cohort(tmp_path_factory.mktemp("cohort") / "c")
    write_atlas(cohort.root / "atlas", cohort.study_ids)
    return cohort


def train(cohort, folder, name="clip", **values):
    write_params(folder, **values)
    pretrain.main(**cohort.options(name, folder))
    return folder


def weights(folder, seed=0):
    return tensors.read(folder / "model" / f"seed{seed}.safetensors")


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert np.array_equal(left[name], right[name]), name


def embed(cohort, folder, name="clip"):
    embed_studies.main(
        name=name,
        model=folder / "model",
        **cohort.inputs,
        out=folder / "e.safetensors",
        index=folder / "e.parquet",
        params=folder / "params.yaml",
    )
    index = tables.read(folder / "e.parquet", cohort_tables.EMBEDDING_INDEX)
    return tensors.read(folder / "e.safetensors"), index.to_pylist()


def test_an_objective_may_train_for_other_updates_than_the_rest(cohort, tmp_path):
    train(cohort, tmp_path, "short", updates=20)
    curve = (tmp_path / "curves" / "seed0" / "plots" / "metrics" / "loss.tsv").read_text(encoding="utf-8")
    assert curve.splitlines()[-1].startswith("5\t")


def test_an_entry_that_spells_out_what_all_share_is_the_same_training():
    shared = PretrainParams(seeds=[0], sequences=["t1"], updates=9)
    entry = ObjectiveEntry(method="clip", similarity="none", labels="none", regions="none")

    def settings(**own):
        changed = entry.model_copy(update=own)
        return pretrain.settings_of(changed.override(shared), changed)

    assert settings(updates=9, batching="mixed") == settings()
    assert settings(updates=8) != settings()
    assert settings(batching="distinct") != settings()


@pytest.mark.parametrize("name", TRAINED)
def test_every_objective_trains_and_embeds(cohort, tmp_path, name):
    train(cohort, tmp_path, name, seeds="0, 4")
    arrays, index = embed(cohort, tmp_path, name)
    kinds = {"image", "feature", "patch", "view", "transfer"}
    kinds |= {"logit"} if name in ("supervised", "clip_labels") else set()
    kinds |= set() if name == "supervised" else {"text", "prompt"}
    assert set(arrays) == {f"{seed}/{kind}" for seed in (0, 4) for kind in kinds}
    assert all(values.dtype == np.float16 and np.isfinite(values).all() for values in arrays.values())
    rows = [row["kind"] for row in index]
    for kind in kinds & {"image", "text", "prompt", "view", "transfer"}:
        assert rows.count(kind) == len(arrays[f"0/{kind}"])
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["seed4"]["images_per_second"] > 0
    assert figures["seed4"]["peak_memory_mib"] > 0
    assert np.isfinite(figures["seed4"]["validation_loss"])
    curve = (tmp_path / "curves" / "seed0" / "plots" / "metrics" / "loss.tsv").read_text().split()
    assert curve[:2] == ["step", "loss"]
    assert curve[2::2] == ["5", "10", "15", "20"]


def test_a_supervised_objective_says_its_classes_and_leaves_out_what_does_not_vary(cohort, tmp_path):
    train(cohort, tmp_path, "supervised")
    arrays, _ = embed(cohort, tmp_path, "supervised")
    assert tensors.read_metadata(tmp_path / "e.safetensors")["classes"] == ["infarct", "mass"]
    assert arrays["0/logit"].shape == (NUM_STUDIES, 2)


def test_an_objective_that_trains_no_text_tower_says_so_in_its_export(cohort, tmp_path):
    for name, aligns_text in (("supervised", False), ("clip", True)):
        train(cohort, tmp_path / name, name, updates=1)
        assert load_config(tmp_path / name / "model").aligns_text is aligns_text


def test_a_transformer_on_merged_patches_trains_and_embeds_every_patch(cohort, tmp_path):
    train(cohort, tmp_path, image=SMALL_TRANSFORMER, updates=5)
    arrays, index = embed(cohort, tmp_path)
    num_test = sum(row["split"] == "test" for row in index if row["kind"] == "image")
    assert arrays["0/patch"].shape == (num_test, 2 * 3 * 2, 16)
    assert any(name.startswith("image.trunk.0.") for name in weights(tmp_path))


def test_embeddings_are_those_of_the_exported_encoders(cohort, tmp_path):
    train(cohort, tmp_path, "convirt")
    arrays, index = embed(cohort, tmp_path)
    encoders = load_encoders(tmp_path / "model", seed=0)
    texts = tensors.read(cohort.inputs["texts"] / "embeddings.safetensors")
    got = encoders.text(torch.from_numpy(texts["text"].astype(np.float32)))
    np.testing.assert_allclose(arrays["0/text"], got.numpy(), atol=2e-3)
    feature = torch.from_numpy(arrays["0/feature"].astype(np.float32))
    np.testing.assert_allclose(arrays["0/image"], encoders.image.projection(feature).numpy(), atol=5e-3)
    images = [row for row in index if row["kind"] == "image"]
    assert {row["split"] for row in images} == {"train", "validation", "test"}
    assert sum(row["text_id"] is None for row in images) == 1
    assert arrays["0/patch"].shape == (sum(row["split"] == "test" for row in images), 2 * 3 * 2, 16)


def test_views_and_transfers_are_what_the_encoder_makes_of_them(cohort, tmp_path):
    train(cohort, tmp_path, updates=3)
    arrays, index = embed(cohort, tmp_path)
    encoders = load_encoders(tmp_path / "model", seed=0)
    store = VolumeStore(cohort.inputs["volumes"])
    series = {(row["study_id"], row["sequence"]): row["series_id"] for row in store.table.to_pylist()}

    def encode(shown):
        volumes = np.zeros((1, len(SEQUENCES), *SHAPE), dtype=np.uint8)
        is_present = np.zeros((1, len(SEQUENCES)), dtype=bool)
        for place, series_id in shown.items():
            volumes[0, SEQUENCES.index(place)], is_present[0, SEQUENCES.index(place)] = store.read(series_id), True
        return encoders.image(encoders.standardise(volumes, is_present), torch.from_numpy(is_present)).numpy()[0]

    views = [row for row in index if row["kind"] == "view"]
    tests = {row["study_id"]: row for row in index if row["kind"] == "image" and row["split"] == "test"}
    own = {study: [s for s in SEQUENCES if (study, s) in series] for study in tests}
    assert [(row["study_id"], row["sequence"]) for row in views] == [
        (study, sequence) for study, sequences in own.items() for sequence in sequences if len(sequences) > 1
    ]
    for row in views:
        shown = {s: series[row["study_id"], s] for s in own[row["study_id"]] if s != row["sequence"]}
        np.testing.assert_allclose(arrays["0/view"][row["row"]], encode(shown), atol=5e-3)
        assert row["text_id"] == tests[row["study_id"]]["text_id"]
    transfers = [row for row in index if row["kind"] == "transfer"]
    assert {row["study_id"] for row in transfers} == {study for study, sequence in series if sequence == "T1C"}
    for row in transfers:
        assert row["sequence"] == "T1C"
        np.testing.assert_allclose(
            arrays["0/transfer"][row["row"]], encode({"T1": series[row["study_id"], "T1C"]}), atol=5e-3
        )


def test_what_a_cohort_lacks_is_not_shown(cohort, tmp_path, caplog):
    train(cohort, tmp_path, updates=1)
    file = tmp_path / "params.yaml"
    text = file.read_text()
    file.write_text(text.replace("view_splits: [test], transfers: {T1C: T1}", "transfers: {SWI: T1}"))
    caplog.set_level("INFO")
    arrays, index = embed(cohort, tmp_path)
    assert "no study has SWI" in caplog.text
    assert arrays["0/view"].shape == arrays["0/transfer"].shape == (0, 16)
    assert not {row["kind"] for row in index} & {"view", "transfer"}
    file.write_text(text.replace("transfers: {T1C: T1}", "transfers: {T1C: ADC}"))
    with pytest.raises(ValueError, match=r"T1C stands for 'ADC', which the encoder does not read; expected one of"):
        embed(cohort, tmp_path)


def test_texts_of_a_loss_fall_and_the_embeddings_find_their_texts(cohort, tmp_path):
    train(cohort, tmp_path, "clip", updates=150, checkpoint_interval=1000)
    arrays, index = embed(cohort, tmp_path)
    image, text = (
        values / np.linalg.norm(values, axis=1, keepdims=True) for values in (arrays["0/image"], arrays["0/text"])
    )
    rows = [row for row in index if row["kind"] == "image" and row["split"] == "train" and row["text_id"] is not None]
    best = (image[[row["row"] for row in rows]] @ text.T).argmax(axis=1)
    assert np.mean(best == [row["text_id"] for row in rows]) > 3 / (NORMAL + 1)


def test_every_objective_starts_from_the_same_towers(cohort, tmp_path):
    train(cohort, tmp_path / "random", "random", seeds="0, 1")
    drawn = weights(tmp_path / "random")
    other = weights(tmp_path / "random", 1)
    assert not np.array_equal(drawn["image.stem.first.weight"], other["image.stem.first.weight"])
    for name in ("clip", "selip", "supervised"):
        folder = train(cohort, tmp_path / name, name, updates=1, seeds="0")
        for key, values in drawn.items():
            # One warm-up update moves nothing by more than its learning rate.
            assert np.abs(weights(folder)[key] - values).max() < 2e-3, key


def test_micro_batches_give_the_same_training(cohort, tmp_path):
    whole = weights(train(cohort, tmp_path / "whole", "selip", updates=6))
    parts = weights(train(cohort, tmp_path / "parts", "selip", updates=6, micro_batch_size=3))
    for name in whole:
        # AdamW divides by tiny second moments, which makes rounding visible.
        np.testing.assert_allclose(parts[name], whole[name], atol=2e-4, err_msg=name)


def test_a_finished_training_is_reused_for_the_identical_hash_only(cohort, tmp_path):
    first = weights(train(cohort, tmp_path))
    (state,) = (tmp_path / "work").rglob("state.pt")
    written = state.stat().st_mtime_ns
    assert_equal(weights(train(cohort, tmp_path)), first)
    assert state.stat().st_mtime_ns == written
    train(cohort, tmp_path, updates=21)
    assert len(list((tmp_path / "work").rglob("state.pt"))) == 2


def test_changed_data_starts_afresh(tmp_path):
    cohort = write_cohort(tmp_path / "c")
    train(cohort, tmp_path)
    path = cohort.inputs["texts"] / "embeddings.safetensors"
    arrays = tensors.read(path)
    tensors.write(path, arrays | {"text": arrays["text"] * 2})
    train(cohort, tmp_path)
    assert len(list((tmp_path / "work").rglob("state.pt"))) == 2


def command(cohort, folder):
    options = [text for name, value in cohort.options("selip", folder).items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "stages.pretrain", *options]


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights_bit_for_bit(cohort, tmp_path):
    values = {"updates": 60, "checkpoint_interval": 5}
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    write_params(disturbed, **values)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(
        command(cohort, disturbed), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list((disturbed / "work").rglob("state.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    training.send_signal(signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    (state,) = (disturbed / "work").rglob("state.pt")
    assert 5 <= torch.load(state, weights_only=True)["step"] < 60
    assert not (disturbed / "model" / "seed0.safetensors").exists()
    subprocess.run(command(cohort, disturbed), cwd=ROOT, env=environment, check=True, capture_output=True)
    train(cohort, calm, "selip", **values)
    assert_equal(weights(disturbed), weights(calm))
    curves = [folder / "curves" / "seed0" / "plots" / "metrics" / "loss.tsv" for folder in (disturbed, calm)]
    assert curves[0].read_text() == curves[1].read_text()


def test_an_export_loads_without_the_pipeline(cohort, tmp_path):
    """Runs the example of ``export``'s docstring on raw volumes."""
    train(cohort, tmp_path, "clip", updates=1)
    example = export.__doc__.split("\n\n", 1)[1]
    assert (named := 'Path("data/models/selip")') in example
    assert len([line for line in example.splitlines() if line]) <= 6
    script = f"""
import sys
import numpy as np
import torch
volumes = np.random.default_rng(0).integers(0, 256, (2, 3, *{SHAPE})).astype(np.uint8)
is_present = np.array([[True, True, True], [True, False, True]])
{example.replace(named, f"Path({str(tmp_path / 'model')!r})")}
assert embedding.shape == (2, 16) and torch.isfinite(embedding).all() and not embedding.requires_grad
print([name for name in ("lightning_fabric", "dvclive", "dvc", "monai", "transformers") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_raw_volumes_embed_as_the_stage_embeds_them(cohort, tmp_path):
    train(cohort, tmp_path, "clip")
    arrays, index = embed(cohort, tmp_path)
    encoders, store = load_encoders(tmp_path / "model"), VolumeStore(cohort.inputs["volumes"])
    images = [row["study_id"] for row in index if row["kind"] == "image"]
    volumes = np.zeros((len(images), len(SEQUENCES), *SHAPE), dtype=np.uint8)
    is_present = np.zeros(volumes.shape[:2], dtype=bool)
    for row in store.table.to_pylist():
        if row["sequence"] in SEQUENCES:
            place = images.index(row["study_id"]), SEQUENCES.index(row["sequence"])
            volumes[place], is_present[place] = store.read(row["series_id"]), True
    assert not is_present.all()
    got = encoders.image(encoders.standardise(volumes, is_present), torch.from_numpy(is_present))
    np.testing.assert_allclose(arrays["0/image"], got.numpy(), atol=5e-3)


def test_towers_without_an_export_cannot_standardise(cohort, tmp_path):
    train(cohort, tmp_path, "random")
    towers = build_towers(load_config(tmp_path / "model"), seed=0)
    with pytest.raises(ValueError, match="no standardiser; load exported encoders with load_encoders"):
        towers.standardise(np.zeros((1, 3, *SHAPE), dtype=np.uint8), np.ones((1, 3), dtype=bool))


def test_a_missing_export_is_answered_with_what_there_is(cohort, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"encoders.json: no exported encoders"):
        load_encoders(tmp_path)
    train(cohort, tmp_path, "random", seeds="0, 7")
    with pytest.raises(FileNotFoundError, match=r"no such seed; the folder holds \[0, 7\]"):
        load_encoders(tmp_path / "model", seed=3)


def test_one_sequence_is_a_unit_too(tmp_path):
    cohort = write_cohort(tmp_path / "c", "sequence")
    train(cohort, tmp_path, "selip")
    arrays, index = embed(cohort, tmp_path)
    images = [row for row in index if row["kind"] == "image"]
    assert {row["sequence"] for row in images} == set(SEQUENCES)
    assert len(images) == len(arrays["0/image"]) > NUM_STUDIES


def test_what_an_objective_needs_is_checked_before_training(cohort, tmp_path):
    write_params(tmp_path)
    options = cohort.options("selip", tmp_path) | {"similarity": cohort.root / "none"}
    with pytest.raises(ValueError, match=r"objectives.selip: method 'selip' needs \['similarity'\]"):
        pretrain.main(**options)
    options = cohort.options("supervised", tmp_path) | {"labels": cohort.root / "none"}
    with pytest.raises(ValueError, match=r"objectives.supervised: method 'supervised' needs \['labels'\]"):
        pretrain.main(**options)
    with pytest.raises(ValueError, match="'clap': no such file"):
        pretrain.main(**cohort.options("wrong", tmp_path))
    assert not (tmp_path / "model").exists()


def test_a_cohort_without_training_pairs_is_refused(tmp_path):
    cohort = write_cohort(tmp_path / "c")
    path = cohort.inputs["splits"]
    table = tables.read(path, cohort_tables.SPLIT_TABLE).to_pylist()
    only_test = tables.from_rows(cohort_tables.SPLIT_TABLE, [row | {"split": "test"} for row in table])
    tables.write(path, only_test, cohort_tables.SPLIT_TABLE)
    write_params(tmp_path)
    with pytest.raises(ValueError, match="no training study with a text has any of"):
        pretrain.main(**cohort.options("clip", tmp_path))


def test_committed_parameters_are_valid_and_train_on_no_withheld_sequence():
    from ruamel.yaml import YAML

    path = ROOT / "params.yaml"
    values = YAML(typ="safe").load(path.read_text())
    shared = load("pretrain", PretrainParams, path)
    assert not set(shared.sequences) & set(values["split_cohort"]["withheld_sequences"])
    for name in values["objectives"]:
        load(f"objectives.{name}", ObjectiveEntry, path)
