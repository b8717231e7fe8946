"""Tables, figures and pages of every task, from cases to what a reader sees."""

import csv
import json
import logging
import shutil

import pytest
from evaluated_cohort import CohortFiles
from measured_cases import write_audits, write_measured
from test_evaluation_stages import OBJECTIVES, pick, read_csv, run_all, tabulate

from stages.evaluation.tasks import TASKS

PAGES = [task.name for task in TASKS]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cohort = CohortFiles(tmp_path_factory.mktemp("cohort"), num_shifted=16)
    return run_all(cohort.write(OBJECTIVES))


@pytest.fixture(scope="module")
def rows(files):
    return read_csv(files.path("results/tables/results.csv"))


@pytest.fixture(scope="module")
def comparisons(files):
    return read_csv(files.path("results/tables/comparisons.csv"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A real cohort: seven patients in the shifted split, of which few have a lesion."""
    cohort = CohortFiles(tmp_path_factory.mktemp("real"), num_test=24, num_shifted=4)
    return run_all(cohort.write(OBJECTIVES, simulated=False))


def page(files, name, folder="results"):
    return files.path(f"{folder}/{name}").read_text(encoding="utf-8")


def test_every_task_has_rows(rows):
    assert {row["task"] for row in rows} == {*PAGES, "negatives", "leakage"}


def test_labels_are_written_as_shares_and_counts(rows):
    for task, metric in (("finetuning", "fine_tuning/auc"), ("classification", "linear_probe/auc")):
        here = [row for row in rows if (row["task"], row["metric"]) == (task, metric) and row["class"] == "macro"]
        assert {"0.1", "1", ""} <= {row["label_fraction"] for row in here}
        assert all(bool(row["shots"]) != bool(row["label_fraction"]) for row in here)
        assert {int(row["shots"]) for row in here if row["shots"]}
        assert {row["draw"] for row in here} == {"all"}


def test_measures_are_what_they_were_made_of(rows):
    about = {"objective": "selip", "split": "test", "seed": "all", "class": "all", "label_fraction": "1"}
    dice = pick(rows, task="segmentation", metric="dice", **about)
    assert float(dice["value"]) == pytest.approx(0.6, abs=0.05)
    assert float(dice["low"]) < float(dice["value"]) < float(dice["high"])
    distance = pick(rows, task="segmentation", metric="hd95_mm", **about)
    assert float(distance["delta_to_reference"]) == pytest.approx(-4.0, abs=0.2)


def test_declared_figures_are_tested_together_and_only_they(comparisons, files):
    declared = {(task.primary.task, task.primary.metric, task.primary.labels) for task in TASKS if task.primary}
    adjusted = [row for row in comparisons if row["p_holm"]]
    assert {(row["task"], row["metric"], row["label_fraction"]) for row in adjusted} == declared
    assert {row["split"] for row in adjusted} == {"test"}
    against = [row for row in adjusted if row["baseline"] == "random"]
    assert len(against) == 2 * len(declared)
    worst = max(against, key=lambda row: float(row["p"]))
    smallest = min(against, key=lambda row: float(row["p"]))
    assert float(worst["p_holm"]) >= float(worst["p"])
    assert float(smallest["p_holm"]) == pytest.approx(min(1.0, len(against) * float(smallest["p"])), abs=1e-4)


def test_better_respects_the_direction_of_the_metric(comparisons):
    about = {"objective": "selip", "baseline": "clip", "split": "test"}
    for metric, sign in (("dice", 1), ("hd95_mm", -1)):
        row = pick(comparisons, metric=metric, label_fraction="0.1", **about)
        assert row["better"] == "yes"
        assert float(row["delta"]) * sign > 0
    # A larger drop is worse, whichever way the difference points.
    drop = pick(comparisons, metric="ndcg_drop", **about, **{"class": "all"})
    assert float(drop["low"]) > 0
    assert drop["better"] == "no"


def test_a_better_method_has_an_interval_beyond_0_and_a_small_p(comparisons):
    better = [row for row in comparisons if row["better"] == "yes"]
    assert better
    assert all(float(row["low"]) * float(row["high"]) > 0 and float(row["p"]) < 0.05 for row in better)
    others = [row for row in comparisons if row["better"] == "no" and row["p"]]
    assert all(float(row["low"]) * float(row["high"]) < 0 or float(row["p"]) > 0.05 for row in others if worse_not(row))


def worse_not(row):
    """Whether the difference does not point to a worse method."""
    lower_is_better = row["metric"].split("/")[-1] in ("hd95_mm", "median_rank", "ndcg_drop", "vendor_accuracy")
    return (float(row["delta"]) < 0) == lower_is_better


def test_lost_recall_is_shown_but_nobody_is_better_by_it(rows, comparisons, files):
    assert pick(rows, task="recall_loss", metric="text_to_image/lost_to_near@1", objective="clip", split="test")["low"]
    assert not [row for row in comparisons if row["task"] == "recall_loss"]
    assert "## Comparisons" not in page(files, "tasks/recall_loss.md")


def test_the_declared_figures_are_a_short_table_and_metrics(files, rows):
    headline = read_csv(files.path("results/tables/headline.csv"))
    metrics = json.loads(files.path("results/headline.json").read_text(encoding="utf-8"))
    row = pick(headline, objective="selip", task="segmentation")
    same = pick(
        rows, objective="selip", task="segmentation", metric="dice", split="test", seed="all", label_fraction="0.1",
        **{"class": "all"},
    )  # fmt: skip
    assert [row[name] for name in ("value", "low", "high")] == [same[name] for name in ("value", "low", "high")]
    assert metrics["selip"]["segmentation"] == pytest.approx(float(same["value"]), abs=1e-5)
    assert set(metrics["selip"]) == {task.name for task in TASKS if task.primary}
    assert all(row["low"] and row["high"] for row in headline)


def test_audits_are_rows_too(rows):
    near = pick(rows, task="negatives", metric="no_share/near_duplicates", objective="clip", **{"class": "similar_0.9"})
    assert float(near["value"]) == pytest.approx(18 / 900)
    assert pick(rows, task="leakage", metric="shared_patients")["value"] == "0.00000"


def test_the_first_page_names_every_method_and_links_every_task(files):
    text = page(files, "README.md")
    for name in (*OBJECTIVES, "chance", "oracle", "scratch"):
        assert f"| `{name}` |" in text
    for name in PAGES:
        assert f"(tasks/{name}.md)" in text
    assert "`metadata`" in page(files, "tasks/classification.md")
    assert "(simulated)" in text
    assert "0 patients in more than one split" in text


@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_a_task_says_simulated_and_shows_its_figures(files, name):
    text = page(files, f"tasks/{name}.md")
    assert text.splitlines()[0].endswith("(simulated)")
    assert "| `selip` |" in text
    images = [line.split("(")[-1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert images or name == "recall_loss"
    for image in images:
        assert files.path(f"results/tasks/{image}").resolve().is_file()


def test_tables_repeat_to_the_byte_with_any_number_of_workers(files):
    files.write_params(list(OBJECTIVES), tabulate_results={"num_workers": 2})
    tabulate(files, "again")
    files.write_params(list(OBJECTIVES))
    first = sorted(
        path.relative_to(files.path("results/x").parent) for path in files.path("results/x").parent.rglob("*.*")
    )
    for name in first:
        assert files.path(f"again/{name}").read_bytes() == files.path(f"results/{name}").read_bytes(), name


def test_a_task_shows_only_the_objectives_that_it_is_evaluated_for(files):
    files.write_params(list(OBJECTIVES), evaluate_generation={"objectives": ["clip", "absent"]})
    tabulate(files, "fewer")
    files.write_params(list(OBJECTIVES))
    rows = read_csv(files.path("fewer/tables/results.csv"))
    assert {row["objective"] for row in rows if row["task"] == "generation"} == {"clip", "most_frequent"}
    assert {row["objective"] for row in rows if row["task"] == "segmentation"} == {"scratch", *OBJECTIVES}


def test_what_is_read_follows_from_the_parameters(files, tmp_path):
    """An objective that was dropped leaves its files behind; one that is declared must have them."""
    files.write_params(["clip", "random"])
    tabulate(files, "fewer")
    text = page(files, "README.md", "fewer")
    files.write_params(list(OBJECTIVES))
    assert "`clip`" in text
    assert "`selip`" not in text
    path = files.path("evaluations/segmentation/selip.parquet")
    shutil.move(path, tmp_path / "aside.parquet")
    try:
        with pytest.raises(FileNotFoundError, match=r"segmentation/selip.parquet: no measure cases table"):
            tabulate(files, "failed")
    finally:
        shutil.move(tmp_path / "aside.parquet", path)


def test_a_reference_that_is_no_objective_is_an_error(files):
    files.write_params(list(OBJECTIVES), tabulate_results={"reference": "absent"})
    with pytest.raises(ValueError, match=r"tabulate_results.reference: 'absent' is no objective"):
        tabulate(files, "failed")
    files.write_params(list(OBJECTIVES))


def test_a_task_of_some_objectives_reads_no_cases_of_the_others(files):
    files.write_params(list(OBJECTIVES), evaluate_vqa={"objectives": ["clip"]})
    tabulate(files, "some")
    files.write_params(list(OBJECTIVES))
    answered = [row for row in read_csv(files.path("some/tables/results.csv")) if row["task"] == "vqa"]
    assert {row["objective"] for row in answered} == {"chance", "blind", "clip"}


def test_balanced_accuracy_is_the_mean_over_kinds_of_question(rows):
    about = {"objective": "selip", "task": "vqa", "metric": "balanced_accuracy", "split": "test", "seed": "all"}
    kinds = [float(pick(rows, **about, **{"class": kind})["value"]) for kind in ("presence", "site")]
    assert float(pick(rows, **about, **{"class": "macro"})["value"]) == pytest.approx(sum(kinds) / 2, abs=1e-6)


def test_a_cohort_without_masks_says_so_in_one_line(files, caplog):
    write_measured(files, OBJECTIVES, has_masks=False)
    with caplog.at_level(logging.INFO):
        tabulate(files, "maskless")
    write_measured(files, OBJECTIVES)
    text = page(files, "README.md", "maskless")
    for name in ("Segmentation", "Localisation"):
        lines = [line for line in text.splitlines() if f"[{name}]" in line]
        assert len(lines) == 1
        assert "nothing to show, no lesion masks" in lines[0]
        assert "Nothing to show: no lesion masks" in page(files, f"tasks/{name.lower()}.md", "maskless")
        assert f"no cases of {name.lower()}: no lesion masks" in caplog.text
    rows = read_csv(files.path("maskless/tables/results.csv"))
    assert not [row for row in rows if row["task"] in ("segmentation", "localisation")]
    assert not files.path("maskless/figures/segmentation.png").exists()


def test_a_real_cohort_shows_no_small_cell(real):
    rows = read_csv(real.path("results/tables/results.csv"))
    shifted = [row for row in rows if row["split"] == "test_shifted"]
    assert {row["task"] for row in shifted} >= {"retrieval", "classification", "segmentation", "shortcuts"}
    assert not any(row["value"] or row["n"] for row in shifted)
    assert all("suppressed" in row["reason"] for row in shifted)
    assert read_csv(real.path("results/tables/flow.csv"))[1]["count"] == "<5"


def test_a_real_cohort_shows_no_small_count_of_an_audit(real):
    rows = read_csv(real.path("results/tables/results.csv"))
    few = [row for row in rows if row["class"] == "same_text" or row["metric"] == "near_texts"]
    assert few
    assert not any(row["value"] for row in few)
    assert all("suppressed" in row["reason"] for row in few)
    assert pick(rows, task="leakage", metric="exact_texts")["value"] == "12.00000"
    assert "<5 of 1800" in page(real, "tasks/recall_loss.md")
    assert "| texts that nearly repeat one of training | test | <5 | 40 |" in page(real, "tasks/shortcuts.md")


def test_no_page_of_a_real_cohort_calls_it_simulated(real):
    for name in ("README.md", *(f"tasks/{name}.md" for name in PAGES)):
        assert "simulated" not in page(real, name).lower()


def test_an_audit_without_negatives_has_a_reason(files, tmp_path):
    write_audits(files, [])
    tabulate(files, "unaudited")
    write_audits(files, OBJECTIVES)
    with files.path("unaudited/tables/results.csv").open(encoding="utf-8") as file:
        assert not [row for row in csv.DictReader(file) if row["task"] == "negatives"]
    assert "Near-duplicates" not in page(files, "tasks/recall_loss.md", "unaudited")


def test_a_head_of_an_objective_s_own_and_its_control_are_rows_where_they_exist(files, rows):
    placed = [row for row in rows if row["task"] == "regions" and row["split"] == "test" and row["seed"] == "all"]
    own = {row["objective"] for row in placed if row["objective"] not in (*OBJECTIVES, "chance", "prior")}
    assert own == {"selip_own", "selip_own_shuffled"}
    for metric, cls in (("region_ap", "all"), ("region_presence/auc", "macro")):
        values = {
            row["objective"]: float(row["value"]) for row in placed if (row["metric"], row["class"]) == (metric, cls)
        }
        assert values["selip_own"] > values["selip"] > values["clip"] > values["selip_own_shuffled"] + 0.05
    assert values["chance"] == 0.5
    text = page(files, "tasks/regions.md")
    assert "| `selip_own_shuffled` |" in text
    assert "`clip_own`" not in text
    assert "_own`" not in page(files, "tasks/retrieval.md")


def test_only_objectives_that_are_asked_for_are_placed_in_regions(tmp_path):
    cohort = CohortFiles(tmp_path)
    cohort.write(OBJECTIVES).write_params(list(OBJECTIVES), evaluate_regions={"objectives": ["clip"]})
    run_all(cohort)
    found = {
        row["objective"] for row in read_csv(cohort.path("results/tables/results.csv")) if row["task"] == "regions"
    }
    assert found == {"clip", "chance", "prior"}
