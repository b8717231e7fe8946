"""Question answering and its page from their entry points, on a tiny cohort."""

import json

import numpy as np
import pytest
from grounded_cohort import export_model, splits_of, write_grounded
from pretraining_cohort import NORMAL, SIDES, WIDTH
from ruamel.yaml import YAML

from stages import evaluate_vqa, show_answers
from stages.artifacts import evaluation_tables, report_tables, tables, tensors, truth_tables
from stages.reports.lexicon import Lexicon
from stages.reports.phrases import phrase_rows

SECTION = {
    "objectives": ["clip"], "splits": ["test"], "draw_seed": 3, "batch_size": 8, "num_threads": 1,
    "max_resident_gib": 1.0,
    "head": {"width": 8, "num_heads": 2, "updates": 60, "batch_size": 16,
             "optimiser": {"learning_rate": 1e-2, "weight_decay": 0.1}},
}  # fmt: skip
SITES = ("frontal_lobe", "insula", "thalamus", "cerebellum")


def write_cohort(root, *, has_lesions=True, source="truth", is_simulated=True, unit="study"):
    """The cohort of grounding, whose texts tell the kind of lesion, with phrases and truth."""
    write_grounded(root, unit)
    export_model(root, "clip", unit=unit)
    phrases = phrase_rows(Lexicon.load("head_mri"), ["en"])
    vectors = np.random.default_rng(8).normal(size=(len(phrases), WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = tables.from_rows(report_tables.PHRASES, phrases)
    tables.write(root / "texts/phrases.parquet", table, report_tables.PHRASES)
    tensors.write(root / "texts/phrases.safetensors", {"phrase": vectors.astype(np.float16)})
    pairs = tables.read(root / "texts/pairs.parquet", report_tables.PAIRS).to_pylist()
    kinds = {pair["study_id"]: pair["text_id"] for pair in pairs}
    labels = [
        {"study_id": study, "finding": finding, "label": int(label), "source": source}
        for study, kind in kinds.items()
        for finding, label in (("infarct", kind != NORMAL), ("mass", kind % 2))
    ]
    tables.write(root / "truth/labels.parquet", tables.from_rows(truth_tables.LABELS, labels), truth_tables.LABELS)
    lesions = [lesion(study, kind) for study, kind in kinds.items() if has_lesions and kind != NORMAL]
    contract = truth_tables.LINKED_LESIONS
    tables.write(root / "truth/lesions.parquet", tables.from_rows(contract, lesions), contract)
    sections = {
        "evaluate_vqa": SECTION,
        "show_answers": {"publish_examples": False, "seed": 1, "split": "test", "per_kind": 2},
        "tabulate_results": {"simulated_folder": str(root if is_simulated else root / "elsewhere")},
    }
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(sections, file)
    return root


def lesion(study, kind):
    signals = [{"sequence": "T2", "signal": ("high", "low")[kind % 2]}]
    return {
        "study_id": study, "lesion": 0, "finding": "infarct", "subtype": "acute infarct", "site": SITES[kind // 2],
        "side": SIDES[kind % 2], "size_mm": 10.0, "volume_ml": 1.0, "signals": signals, "template_voxels": [],
        "template_shape": [1, 1, 1],
    }  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("asked") / "c")


def evaluate(root, folder, name="clip", **changes):
    inputs = {"volumes": root / "volumes", "texts": root / "texts", "splits": root / "splits.parquet"}
    inputs |= {
        "model": root / "models/clip",
        "truth": root / "truth",
        "atlas": root / "none",
        "params": root / "params.yaml",
    }
    outs = {"out": folder / f"{name}.parquet", "answers": folder / f"answers/{name}.parquet"}
    evaluate_vqa.main(name=name, **(inputs | changes), **outs, metrics=folder / f"{name}.json")
    cases = tables.read(outs["out"], evaluation_tables.MEASURE_CASES).to_pylist()
    answers = tables.read(outs["answers"], evaluation_tables.VQA_ANSWERS).to_pylist()
    return cases, answers, json.loads((folder / f"{name}.json").read_text())


def show(root, folder):
    show_answers.main(
        answers=folder / "answers",
        phrases=root / "texts/phrases.parquet",
        cohort=root / "dicom",
        out=folder / "answers.md",
        params=root / "params.yaml",
    )
    return (folder / "answers.md").read_text()


def test_every_answer_is_a_case_and_the_summary_their_mean(root, tmp_path):
    cases, answers, summary = evaluate(root, tmp_path)
    assert {row["seed"] for row in answers} == {0, 1}
    assert {row["question"] for row in answers} == {"presence", "side", "site", "signal"}
    splits = splits_of(root)
    assert all(splits[row["study_id"]] == row["split"] for row in answers)
    tested = [row for row in answers if row["split"] == "test"]
    for kind in ("presence", "side"):
        right = [row["answer"] == row["predicted"] for row in tested if row["question"] == kind]
        counted = [row["value"] for row in cases if row["metric"] == "balanced_accuracy" and row["class"] == kind]
        assert sorted(counted) == sorted(map(float, right))
        assert summary["test"][kind] == pytest.approx(np.mean(right), abs=1e-6)
    assert {row["split"] for row in cases} == {"test"}
    is_closed = [row["question"] in ("presence", "side") for row in tested]
    assert sum(row["metric"] == "closed_accuracy" for row in cases) == sum(is_closed)
    assert sum(row["metric"] == "open_accuracy" for row in cases) == len(tested) - sum(is_closed)


def test_answers_are_as_frequent_within_a_question_and_split(root, tmp_path):
    _, answers, _ = evaluate(root, tmp_path)
    counts = {}
    for row in answers:
        if row["seed"] == 0:
            of_question = counts.setdefault((row["split"], row["question"], row["finding"], row["sequence"]), {})
            of_question[row["answer"]] = of_question.get(row["answer"], 0) + 1
    assert all(len(set(of.values())) == 1 and len(of) > 1 for of in counts.values())


def test_the_blind_row_sees_no_image_and_stays_at_chance(root, tmp_path):
    blind, answers, _ = evaluate(root, tmp_path, "blind", blind=True, chance=tmp_path / "chance.parquet")
    chance = tables.read(tmp_path / "chance.parquet", evaluation_tables.MEASURE_CASES).to_pylist()
    for kind in ("presence", "side"):
        own = [row["value"] for row in blind if row["class"] == kind and row["seed"] == 0]
        guessed = [row["value"] for row in chance if row["class"] == kind]
        assert len(own) == len(guessed) > 0
        assert set(guessed) == {0.5}
    keys = ("seed", "question", "finding", "sequence", "phrase_id")
    given = {}
    for row in answers:
        given.setdefault(tuple(row[key] for key in keys), set()).add(row["predicted"])
    assert all(len(words) == 1 for words in given.values())


def test_running_again_gives_the_same_answers(root, tmp_path):
    assert evaluate(root, tmp_path / "a")[:2] == evaluate(root, tmp_path / "b")[:2]


def test_sequences_of_a_study_are_asked_together(tmp_path):
    root = write_cohort(tmp_path / "c", unit="sequence")
    _, answers, _ = evaluate(root, tmp_path)
    keys = [tuple(row[name] for name in ("seed", "study_id", "question", "finding")) for row in answers]
    assert len(keys) == len(set(keys)) > 0


def test_a_cohort_without_lesions_is_asked_for_presence_only(tmp_path, caplog):
    root = write_cohort(tmp_path / "c", has_lesions=False, source="mined")
    with caplog.at_level("INFO"):
        _, answers, summary = evaluate(root, tmp_path)
    assert {row["question"] for row in answers} == {"presence"}
    assert set(summary["test"]) == {"presence", "balanced_accuracy"}
    assert "no questions about side, site, signal, for want of lesions" in caplog.text


def test_a_cohort_without_labels_writes_empty_tables(tmp_path, caplog):
    root = write_cohort(tmp_path / "c", has_lesions=False)
    empty = tables.from_rows(truth_tables.LABELS, [])
    tables.write(root / "truth/labels.parquet", empty, truth_tables.LABELS)
    with caplog.at_level("INFO"):
        assert evaluate(root, tmp_path, chance=tmp_path / "chance.parquet") == ([], [], {})
    assert "no question has two answers among the training studies, so nothing is asked" in caplog.text
    assert not tables.read(tmp_path / "chance.parquet", evaluation_tables.MEASURE_CASES).num_rows
    evaluate(root, tmp_path, "blind", blind=True)
    assert "Nothing is shown: no question was asked about a study of the test split" in show(root, tmp_path)


def test_the_page_shows_questions_with_true_and_given_answers(root, tmp_path):
    _, answers, _ = evaluate(root, tmp_path)
    evaluate(root, tmp_path, "blind", blind=True)
    page = show(root, tmp_path)
    lines = [line for line in page.splitlines() if "infarct" in line or "mass" in line]
    assert len(lines) == 8, "two questions of each kind"
    assert "| study | question | true answer | `clip` | `blind` |" in page
    assert "Simulated cohort, test split, pretraining seed 1" in page
    assert not any(row["study_id"] in page for row in answers)
    right = {(row["answer"] == row["predicted"]) for row in answers}
    assert ("**" in "".join(lines)) == (True in right)


def test_a_real_cohort_is_not_shown(tmp_path):
    root = write_cohort(tmp_path / "c", is_simulated=False)
    assert show(root, tmp_path) == (
        "# Answers to questions\n\nNothing is shown: a real cohort is shown only if show_answers.publish_examples "
        "says so.\n"
    )
