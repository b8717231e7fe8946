"""Localisation and the example figures from their entry points, on a tiny cohort."""

import json

import numpy as np
import pytest
import torch
from grounded_cohort import DOUBTFUL, TWOFOLD, export_model, lesion, splits_of, write_grounded, write_params
from pretraining_cohort import NORMAL, SEQUENCES
from torch.nn import functional

from stages import draw_saliency, evaluate_localisation, evaluate_localisation_references
from stages.artifacts import evaluation_tables, mask_tables, report_tables, tables, tensors
from stages.evaluation import example_figures
from stages.imaging.quality import otsu_threshold
from stages.imaging.shards import VolumeStore
from stages.pretraining.export import load_encoders


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    cohort = write_grounded(tmp_path_factory.mktemp("grounded") / "c")
    for name in ("clip", "selip"):
        export_model(cohort.root, name)
    export_model(cohort.root, "supervised", aligns_text=False)
    return cohort


def evaluate(cohort, folder, name="clip", **changes):
    out, metrics = folder / f"{name}.parquet", folder / f"{name}.json"
    model = cohort.root / "models" / name
    evaluate_localisation.main(name=name, model=model, out=out, metrics=metrics, **(cohort.inputs | changes))
    return tables.read(out, evaluation_tables.MEASURE_CASES).to_pylist(), json.loads(metrics.read_text())


def evaluate_references(cohort, folder):
    out = {name: folder / f"{name}.parquet" for name in ("chance", "oracle")}
    evaluate_localisation_references.main(
        model=cohort.root / "models/clip", metrics=folder / "references.json", **out, **cohort.inputs
    )
    return {name: tables.read(path, evaluation_tables.MEASURE_CASES).to_pylist() for name, path in out.items()}


def draw(files, out, **changes):
    options = files.inputs | {"models": files.root / "models", "cohort": files.root / "dicom"} | changes
    draw_saliency.main(out=out, **options)
    return {path.name for path in out.iterdir()}


def keys(rows):
    return {(row["study_id"], row["metric"], row["class"]) for row in rows}


def kinds_of(root):
    pairs = tables.read(root / "texts/pairs.parquet", report_tables.PAIRS).to_pylist()
    return {pair["study_id"]: pair["text_id"] for pair in pairs}


def slow_pointing(root, study_id, seed):
    """Pointing game of the prompts, from voxels, patch by patch."""
    towers = load_encoders(root / "models/clip", seed)
    store = VolumeStore(root / "volumes")
    image, is_present = np.zeros((1, 3, 8, 12, 8), np.uint8), np.zeros((1, 3), bool)
    votes = []
    for row in store.table.to_pylist():
        if row["study_id"] == study_id and row["sequence"] in SEQUENCES:
            number = SEQUENCES.index(row["sequence"])
            image[0, number], is_present[0, number] = store.read(row["series_id"]), True
            votes.append(image[0, number] > otsu_threshold(image[0, number]))
    patches = towers.image.encode_patches(towers.standardise(image, is_present), torch.from_numpy(is_present))[0]
    prompts = tensors.read(root / "texts/embeddings.safetensors", ["prompt"])["prompt"].astype(np.float32)
    positive = functional.normalize(towers.text(features=torch.from_numpy(prompts[:1])), dim=-1)[0]
    similarity = (functional.normalize(patches, dim=-1) @ positive).reshape(2, 3, 2).numpy()
    mask = lesion(kinds_of(root)[study_id])
    share, seen = {}, []
    for place in np.ndindex(2, 3, 2):
        patch = tuple(slice(4 * i, 4 * i + 4) for i in place)
        share[place] = mask[patch].mean()
        if share[place] or (np.mean([vote[patch] for vote in votes], axis=0) >= 0.5).any():
            seen.append((similarity[place], place))
    _, peak = max(seen)
    return float(share[peak] >= 0.25 or share[peak] == max(share.values()))


def test_every_study_with_a_mask_is_a_case_of_every_seed(cohort, tmp_path):
    rows, summary = evaluate(cohort, tmp_path)
    kinds, splits = kinds_of(cohort.root), splits_of(cohort.root)
    expected = {study for study, kind in kinds.items() if splits[study] == "test" and kind != NORMAL}
    prompted = [row for row in rows if row["metric"] == "prompt/iou" and row["class"] == "infarct"]
    assert sorted((row["study_id"], row["seed"]) for row in prompted) == sorted(
        (s, n) for s in expected for n in (0, 1)
    )
    stated = {row["study_id"] for row in rows if row["metric"] == "sentence/iou"}
    assert stated == {study for study in expected if kinds[study] != DOUBTFUL}
    assert not any(row["class"] == "cyst" for row in rows), "it has neither prompts nor a sentence"
    assert {row["split"] for row in rows} == {"test"}
    num_twofold = sum(kinds[study] == TWOFOLD for study in kinds if splits[study] != "train")
    assert summary["cases_without_phrase"]["prompt"] == num_twofold
    assert summary["iou_thresholds"]["prompt"].keys() == {"0", "1"}
    assert all(np.isfinite(row["value"]) for row in rows)


def test_values_are_those_of_a_slow_reference(cohort, tmp_path):
    rows, _ = evaluate(cohort, tmp_path)
    found = [row for row in rows if row["metric"] == "prompt/pointing_game" and row["class"] == "infarct"]
    assert len(found) > 5
    for row in found:
        assert row["value"] == slow_pointing(cohort.root, row["study_id"], row["seed"])


def test_running_again_gives_the_same_cases(cohort, tmp_path):
    assert evaluate(cohort, tmp_path / "a")[0] == evaluate(cohort, tmp_path / "b")[0]


def test_references_are_asked_the_same_cases(cohort, tmp_path):
    rows, _ = evaluate(cohort, tmp_path)
    references = evaluate_references(cohort, tmp_path)
    assert keys(references["chance"]) == keys(references["oracle"]) == keys(rows)
    assert {row["value"] for row in references["oracle"] if row["metric"].endswith("pointing_game")} == {1.0}
    iou = {
        name: {(row["study_id"], row["class"]): row["value"] for row in of if row["metric"] == "prompt/iou"}
        for name, of in references.items()
    }
    for row in rows:
        if row["metric"] == "prompt/iou":
            assert row["value"] <= iou["oracle"][row["study_id"], row["class"]]
    assert all(iou["chance"][key] <= iou["oracle"][key] <= 1 for key in iou["chance"])


def test_maps_of_sequences_are_averaged_over_a_study(tmp_path):
    cohort = write_grounded(tmp_path / "c", unit="sequence")
    export_model(cohort.root, "clip", unit="sequence", seeds=(0,))
    rows, _ = evaluate(cohort, tmp_path)
    prompted = [row["study_id"] for row in rows if row["metric"] == "prompt/iou" and row["class"] == "all"]
    assert prompted
    assert len(prompted) == len(set(prompted))


def test_an_objective_without_texts_writes_an_empty_table(cohort, tmp_path, caplog):
    with caplog.at_level("INFO"):
        rows, summary = evaluate(cohort, tmp_path, "supervised")
    assert rows == []
    assert summary == {}
    assert "supervised shares no space with texts" in caplog.text


def test_a_cohort_without_masks_goes_through(tmp_path, caplog):
    cohort = write_grounded(tmp_path / "c", has_masks=False)
    export_model(cohort.root, "clip")
    with caplog.at_level("INFO"):
        assert evaluate(cohort, tmp_path) == ([], {})
        assert evaluate_references(cohort, tmp_path) == {"chance": [], "oracle": []}
        assert draw(cohort, tmp_path / "drawn") == {example_figures.PAGE}
    assert caplog.text.count("no lesion masks in the evaluated splits") == 2
    assert "no study of the test split has a lesion mask" in caplog.text


def test_lesions_that_no_phrase_names_are_counted_and_left_out(tmp_path):
    cohort = write_grounded(tmp_path / "c", finding=mask_tables.UNNAMED_FINDING)
    export_model(cohort.root, "clip")
    rows, summary = evaluate(cohort, tmp_path)
    assert rows == []
    assert summary["cases"] > 0
    assert summary["cases_without_phrase"] == {"prompt": summary["cases"], "sentence": summary["cases"]}
    assert summary["iou_thresholds"]["prompt"] == {"0": None, "1": None}
    assert evaluate_references(cohort, tmp_path) == {"chance": [], "oracle": []}
    assert draw(cohort, tmp_path / "drawn") == {example_figures.PAGE}


def test_examples_are_drawn_for_objectives_that_exist(cohort, tmp_path):
    names = {example_figures.GROUNDING, example_figures.SALIENCY, example_figures.PAGE}
    assert draw(cohort, tmp_path / "a") == names
    page = (tmp_path / "a" / example_figures.PAGE).read_text()
    assert "Simulated cohort" in page


def test_images_of_a_real_cohort_are_shown_on_request_only(cohort, tmp_path, caplog):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / example_figures.GROUNDING).write_bytes(b"of an earlier run")
    with caplog.at_level("INFO"):
        assert draw(cohort, tmp_path / "drawn", cohort=tmp_path) == {example_figures.PAGE}
    assert "publish_examples" in caplog.text
    write_params(tmp_path / "params.yaml", publish_examples=True)
    found = draw(cohort, tmp_path / "asked", params=tmp_path / "params.yaml", cohort=cohort.root.parent)
    assert example_figures.SALIENCY in found
    assert "Real cohort" in (tmp_path / "asked" / example_figures.PAGE).read_text()


def test_without_models_nothing_is_drawn(cohort, tmp_path, caplog):
    with caplog.at_level("INFO"):
        assert draw(cohort, tmp_path / "drawn", models=tmp_path / "none") == {example_figures.PAGE}
    assert "no objective has encoders of seed 0" in caplog.text
