"""The audits from their entry points: negatives, leakage and shortcuts."""

import json

import pytest
from evaluated_cohort import CohortFiles
from pretraining_cohort import write_cohort, write_params
from ruamel.yaml import YAML

from stages import audit_negatives, check_leakage, embed_studies, evaluate_shortcuts, pretrain
from stages.artifacts import audit_tables, cohort_tables, evaluation_tables, tables

NAMES = ("clip", "selip", "supervised", "random")


def write_audit_params(folder):
    write_params(folder, updates=4, seeds="0, 1")
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    params = YAML(typ="safe").load(text)
    params["objectives"] = {name: params["objectives"][name] for name in NAMES}
    params["objectives"]["selip"]["similarity"] = "data/similarity/similarity.safetensors"
    params["audit_negatives"] = {
        "similarity": "similarity", "thresholds": [0.8, 1.0], "splits": ["test"], "recall_at": [1, 5], "num_threads": 1,
    }  # fmt: skip
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    root = tmp_path_factory.mktemp("audit")
    cohort = write_cohort(root / "c")
    for name in NAMES:
        write_params(root, updates=4, seeds="0, 1")
        pretrain.main(**cohort.options(name, root))
        embed_studies.main(
            name=name, model=root / "model", **cohort.inputs, out=root / f"embeddings/{name}.safetensors",
            index=root / f"embeddings/{name}.parquet", params=root / "params.yaml",
        )  # fmt: skip
    write_audit_params(root)
    audit_negatives.main(
        **cohort.inputs, similarities=cohort.root, embeddings=root / "embeddings", out=root / "negatives.parquet",
        recall=root / "recall_loss", metrics=root / "negatives.json", params=root / "params.yaml",
    )  # fmt: skip
    return root


def test_every_trained_objective_with_texts_is_audited(audited):
    rows = tables.read(audited / "negatives.parquet", audit_tables.NEGATIVES).to_pylist()
    assert {row["objective"] for row in rows} == {"clip", "selip"}
    assert len(rows) == 2 * 2 * 2 * 3
    by_key = {(row["objective"], row["seed"], row["threshold"], row["rule"]): row for row in rows}
    assert by_key["clip", 0, None, "no_share"]["num_pairs"] == 4 * 8 * 7
    assert by_key["clip", 0, None, "no_share"]["num_near_duplicates"] > 0
    assert by_key["selip", 0, None, "no_share"]["num_near_duplicates"] == 0
    metrics = json.loads((audited / "negatives.json").read_text())
    assert metrics["negatives"]["selip"]["no_share_same_text"] == 0
    assert metrics["negatives"]["clip"]["no_share_1"] > 0


def test_the_recall_of_every_objective_is_taken_apart(audited):
    metrics = json.loads((audited / "negatives.json").read_text())["recall"]
    for name in NAMES:
        cases = tables.read(audited / f"recall_loss/{name}.parquet", evaluation_tables.MEASURE_CASES).to_pandas()
        if name == "supervised":
            assert not len(cases)
            assert not metrics[name]
            continue
        assert set(cases["split"]) == {"test"}
        assert set(cases["seed"]) == {0, 1}
        mean = cases[cases["metric"] == "text_to_image/lost_to_near@5"]["value"].mean()
        assert metrics[name]["test"]["text_to_image/lost_to_near@5"] == pytest.approx(mean, abs=1e-5)


def check(files, **changed):
    options = {
        "series": files.path("converted/series.parquet"),
        "splits": files.path("splits.parquet"),
        "texts": files.path("texts"),
        "out": files.path("leakage.parquet"),
        "metrics": files.path("leakage.json"),
        "params": files.path("params.yaml"),
    }
    check_leakage.main(**(options | changed))


def test_separate_splits_pass_the_gates(tmp_path):
    files = CohortFiles(tmp_path, num_shifted=8).write({"clip": 1.0})
    check(files)
    rows = tables.read(files.path("leakage.parquet"), audit_tables.LEAKAGE).to_pylist()
    assert [row["count"] for row in rows if row["is_gate"]] == [0, 0, 0]
    assert {row["split"] for row in rows if not row["is_gate"]} == {"validation", "test", "test_shifted"}
    metrics = json.loads(files.path("leakage.json").read_text(encoding="utf-8"))
    assert metrics["shared_patients"] == 0
    assert 0 < metrics["test"]["exact_texts"] <= 1
    before = files.path("leakage.parquet").read_bytes()
    check(files)
    assert files.path("leakage.parquet").read_bytes() == before


def test_a_patient_in_two_splits_stops_the_pipeline(tmp_path):
    files = CohortFiles(tmp_path)
    first, last = files.splits.index("train"), files.splits.index("test")
    files.patient_ids[last] = files.patient_ids[first]
    files.write({"clip": 1.0})
    with pytest.raises(ValueError, match="patients lie in more than one split, expected 0"):
        check(files)
    assert not files.path("leakage.parquet").exists()


def test_a_study_without_series_stops_the_pipeline(tmp_path):
    files = CohortFiles(tmp_path).write({"clip": 1.0})
    table = tables.read(files.path("splits.parquet"), cohort_tables.SPLIT_TABLE)
    rows = [*table.to_pylist(), {"study_id": "0" * 16, "patient_id": "1" * 16, "split": "train"}]
    tables.write(
        files.path("more.parquet"), tables.from_rows(cohort_tables.SPLIT_TABLE, rows), cohort_tables.SPLIT_TABLE
    )
    with pytest.raises(ValueError, match="1 studies have no series"):
        check(files, splits=files.path("more.parquet"))


def test_shortcuts_of_an_objective(tmp_path, caplog):
    files = CohortFiles(tmp_path).write({"clip": 1.0})
    files.write_embeddings("supervised", 1.0, has_text=False)
    caplog.set_level("INFO")
    for name in ("clip", "supervised"):
        evaluate_shortcuts.main(
            name=name, embeddings=files.path(f"embeddings/{name}.safetensors"),
            index=files.path(f"embeddings/{name}.parquet"), series=files.path("converted/series.parquet"),
            relevance=files.path("relevance"), out=files.path(f"evaluations/shortcuts/{name}.parquet"),
            metrics=files.path(f"evaluations/shortcuts/{name}.json"), params=files.path("params.yaml"),
        )  # fmt: skip
        cases = tables.read(files.path(f"evaluations/shortcuts/{name}.parquet"), evaluation_tables.MEASURE_CASES)
        metrics = set(cases["metric"].to_pylist())
        assert metrics == {"vendor_accuracy"} | ({"ndcg_drop"} if name == "clip" else set())
    # Every study has the same field strength, and a supervised objective embeds no texts.
    assert "training studies do not differ in field_strength" in caplog.text
    assert "supervised: embeds no texts" in caplog.text
    summary = json.loads(files.path("evaluations/shortcuts/clip.json").read_text(encoding="utf-8"))
    assert set(summary["test"]["vendor_accuracy"]) == {"ge", "siemens", "all"}
    assert set(summary["test"]["ndcg_drop"]) == {"T1", "T2", "FLAIR", "all"}
