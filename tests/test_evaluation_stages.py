"""The evaluation stages on synthetic embeddings, from cases to the results page."""

import csv
import json

import pytest
from evaluated_cohort import FINDINGS, CohortFiles
from measured_cases import write_measured

from stages import evaluate_classification, evaluate_references, evaluate_retrieval, tabulate_results
from stages.artifacts import evaluation_tables, tables

OBJECTIVES = {"clip": 2.0, "selip": 0.5, "random": None}


def evaluate(files, name):
    shared = {
        "name": name,
        "embeddings": files.path(f"embeddings/{name}.safetensors"),
        "index": files.path(f"embeddings/{name}.parquet"),
        "texts": files.path("texts"),
        "params": files.path("params.yaml"),
    }
    evaluate_retrieval.main(
        **shared,
        relevance=files.path("relevance"),
        labels=files.path("truth/labels.parquet"),
        reports=files.path("reports"),
        out=files.path(f"evaluations/retrieval/{name}.parquet"),
        metrics=files.path(f"evaluations/retrieval/{name}.json"),
    )
    evaluate_classification.main(
        **shared,
        labels=files.path("truth/labels.parquet"),
        lesions=files.path("truth/lesions.parquet"),
        out=files.path(f"evaluations/classification/{name}.parquet"),
        metrics=files.path(f"evaluations/classification/{name}.json"),
    )


def evaluate_rest(files):
    evaluate_references.main(
        index=files.path("embeddings/clip.parquet"),
        series=files.path("converted/series.parquet"),
        labels=files.path("truth/labels.parquet"),
        lesions=files.path("truth/lesions.parquet"),
        relevance=files.path("relevance"),
        texts=files.path("texts"),
        reports=files.path("reports"),
        retrieval=files.path("evaluations/retrieval/chance.parquet"),
        chance=files.path("evaluations/classification/chance.parquet"),
        metadata=files.path("evaluations/classification/metadata.parquet"),
        metrics=files.path("evaluations/references.json"),
        params=files.path("params.yaml"),
    )


def tabulate(files, folder="results"):
    tabulate_results.main(
        evaluations=files.path("evaluations"),
        flow=files.path("flow.parquet"),
        relevance=files.path("relevance/classes.parquet"),
        labels=files.path("truth/labels.parquet"),
        negatives=files.path("negatives.parquet"),
        leakage=files.path("leakage.parquet"),
        cohort=files.path("dicom"),
        examples=files.path(f"{folder}/examples/README.md"),
        answers=files.path(f"{folder}/answers.md"),
        generated=files.path(f"{folder}/generated_reports.md"),
        quality=files.path(f"{folder}/quality/README.md"),
        tables_folder=files.path(f"{folder}/tables"),
        figures=files.path(f"{folder}/figures"),
        pages=files.path(f"{folder}/tasks"),
        readme=files.path(f"{folder}/README.md"),
        headline=files.path(f"{folder}/headline.json"),
        params=files.path("params.yaml"),
    )


def run_all(files, *others):
    for name in OBJECTIVES:
        evaluate(files, name)
    evaluate_rest(files)
    write_measured(files, [*OBJECTIVES, *others])
    tabulate(files)
    return files


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cohort = CohortFiles(tmp_path_factory.mktemp("cohort"), num_shifted=16)
    return run_all(cohort.write(OBJECTIVES))


@pytest.fixture(scope="module")
def rows(files):
    return read_csv(files.path("results/tables/results.csv"))


def pick(rows, **wanted):
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_every_row_has_a_key_of_its_own(rows):
    keys = ("task", "metric", "objective", "split", "class", "label_fraction", "shots", "draw", "seed")
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows)


def test_a_row_without_an_interval_says_why(rows):
    assert all(row["reason"] for row in rows if not row["low"])
    assert all(row["value"] for row in rows if row["low"])


def test_better_embeddings_are_better_than_random_and_chance(files):
    rows = read_csv(files.path("results/tables/comparisons.csv"))
    for metric in ("image_to_text/ndcg@10", "image_to_text/recall@10", "zero_shot/auc"):
        for baseline in ("chance", "random"):
            row = pick(rows, objective="selip", baseline=baseline, metric=metric, split="test")
            assert row["better"] == "yes"
            assert float(row["low"]) < float(row["delta"]) < float(row["high"])
            assert row["seed_signs"] == "++"
    assert pick(rows, objective="selip", baseline="clip", metric="zero_shot/auc", split="test")["p_holm"]
    assert not pick(rows, objective="selip", baseline="clip", metric="image_to_text/recall@10", split="test")["p_holm"]


def test_chance_has_an_area_of_one_half(rows):
    for metric in ("zero_shot/auc", "zero_shot/balanced_accuracy"):
        row = pick(rows, objective="chance", metric=metric, split="test", **{"class": "macro"}, seed="all")
        assert float(row["value"]) == pytest.approx(0.5)


def test_metadata_stays_near_chance(rows):
    row = pick(
        rows, objective="metadata", metric="linear_probe/auc", split="test", label_fraction="1", seed="all",
        **{"class": "macro"},
    )  # fmt: skip
    assert 0.3 < float(row["value"]) < 0.7


def test_metrics_agree_with_the_tables(files, rows):
    metrics = json.loads(files.path("evaluations/retrieval/selip.json").read_text(encoding="utf-8"))
    row = pick(rows, objective="selip", metric="image_to_text/ndcg@10", split="test", seed="all", **{"class": "all"})
    assert metrics["test"]["image_to_text"]["ndcg@10"] == pytest.approx(float(row["value"]), abs=1e-5)
    metrics = json.loads(files.path("evaluations/classification/selip.json").read_text(encoding="utf-8"))
    row = pick(
        rows, objective="selip", metric="linear_probe/auc", split="test", label_fraction="0.1", seed="all",
        **{"class": "macro"},
    )  # fmt: skip
    assert metrics["test"]["linear_probe_0.1_macro_auc"] == pytest.approx(float(row["value"]), abs=1e-5)


def test_two_test_patients_give_values_without_intervals(tmp_path):
    cohort = CohortFiles(tmp_path, num_train=6, num_validation=2, num_test=2)
    run_all(cohort.write(OBJECTIVES))
    rows = read_csv(cohort.path("results/tables/results.csv"))
    row = pick(rows, objective="clip", metric="image_to_text/ndcg@10", split="test", seed="all", **{"class": "all"})
    assert row["value"]
    assert not row["low"]
    assert row["reason"] == "2 test patients, 5 needed for an interval"


def test_an_objective_without_texts_is_ranked_by_images_only(tmp_path):
    cohort = CohortFiles(tmp_path)
    cohort.write(OBJECTIVES)
    cohort.write_embeddings("supervised", 1.0, has_text=False, has_logit=True)
    cohort.write_params([*OBJECTIVES, "supervised"])
    evaluate(cohort, "supervised")
    retrieval = tables.read(cohort.path("evaluations/retrieval/supervised.parquet"), evaluation_tables.RETRIEVAL_CASES)
    assert set(retrieval["direction"].to_pylist()) == {"image_to_image", "category_image_to_image"}
    cases = tables.read(
        cohort.path("evaluations/classification/supervised.parquet"), evaluation_tables.CLASSIFICATION_CASES
    )
    assert set(cases["protocol"].to_pylist()) == {"linear_probe", "linear_probe_transfer", "supervised"}
    assert set(cases["class"].to_pylist()) == {*FINDINGS, "infarct_age"}
    run_all(cohort, "supervised")
    assert "supervised AUC" in cohort.path("results/tasks/classification.md").read_text(encoding="utf-8")
