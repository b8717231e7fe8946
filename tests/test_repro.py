"""The whole pipeline on a tiny cohort: real DVC, real stages, nothing to do the second time."""

import json
import shutil

import pytest
from repositories import commit, copy_repository, run, stages_run
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow

TINY = {
    "simulate_cohort": {"num_development": 14, "num_test": 8, "num_shifted": 2},
    "pretrain": {"updates": 4, "batch_size": 4, "seeds": [0]},
    "evaluate_classification": {"min_positives": 1, "num_draws": 2},
    "evaluate_finetuning": {"min_updates": 2, "max_updates": 4},
    "evaluate_segmentation": {"updates": 2},
    "train_report_decoder": {"updates": 2},
    "tabulate_results": {"num_resamples": 50},
}
OBJECTIVES = ("clip", "selip", "random")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A clone of the working tree with a tiny cohort, run once."""
    folder = tmp_path_factory.mktemp("repro") / "repository"
    copy_repository(folder, TINY, OBJECTIVES)
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


def status(repository):
    """What a run would change, with the code as it is now."""
    run(repository, "dvc", "repro", "trace_code")
    return run(repository, "dvc", "status", check=False)


def test_the_first_run_ends_with_tables(repository):
    text = (repository / "results" / "tables" / "results.csv").read_text(encoding="utf-8")
    for row in (*OBJECTIVES, "chance", "metadata"):
        assert f",{row}," in text
    assert "simulated" in (repository / "results" / "README.md").read_text(encoding="utf-8").lower()


def test_the_second_run_does_nothing(repository):
    assert not stages_run(run(repository, "dvc", "repro"))
    run(repository, "dvc", "status", "-q")


def test_plots_show_draws_the_training_curves_and_the_declared_figures(repository):
    run(repository, "dvc", "plots", "show", "--out", str(repository.parent / "plots"))
    page = (repository.parent / "plots" / "index.html").read_text(encoding="utf-8")
    assert "loss" in page
    assert "Declared figures" in page


def test_diffs_show_what_a_change_did(repository):
    headline = repository / "results" / "headline.json"
    before = headline.read_text(encoding="utf-8")
    values = json.loads(before)
    values["clip"]["retrieval"] += 0.25
    headline.write_text(json.dumps(values), encoding="utf-8")
    try:
        shown = run(repository, "dvc", "metrics", "diff", "--targets", "results/headline.json")
        assert [line.split()[1] for line in shown.splitlines()[1:]] == ["clip.retrieval"]
        run(repository, "dvc", "plots", "diff", "HEAD", "--out", str(repository.parent / "difference"))
        page = (repository.parent / "difference" / "index.html").read_text(encoding="utf-8")
        assert '"rev": "workspace"' in page
        assert '"rev": "HEAD"' in page
    finally:
        headline.write_text(before, encoding="utf-8")


def test_editing_one_objective_touches_no_other(repository):
    file = repository / "stages" / "pretraining" / "objectives" / "clip.py"
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(before + "\nEDITED = True\n", encoding="utf-8")
        changed = status(repository)
        assert "pretrain@clip" in changed
        assert "pretrain@selip" not in changed
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_comment_reruns_nothing(repository):
    file = repository / "stages" / "pretraining" / "loop.py"
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(before + "\n# edited\n", encoding="utf-8")
        assert stages_run(run(repository, "dvc", "repro")) == {"trace_code"}
    finally:
        file.write_text(before, encoding="utf-8")


def test_adding_an_objective_touches_no_other(repository):
    folder = repository / "stages" / "pretraining" / "objectives"
    params = repository / "params.yaml"
    before = params.read_text(encoding="utf-8")
    try:
        shutil.copy(folder / "clip.py", folder / "another.py")
        yaml = YAML()
        document = yaml.load(before)
        document["objectives"]["another"] = dict(document["objectives"]["clip"], method="another")
        with params.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)
        changed = status(repository)
        assert "pretrain@another" in changed
        assert "pretrain@clip" not in changed
        assert "pretrain@selip" not in changed
    finally:
        params.write_text(before, encoding="utf-8")
        (folder / "another.py").unlink()


def test_an_experiment_reruns_only_what_depends_on_it(repository):
    output = run(repository, "dvc", "exp", "run", "-S", "objectives.selip.params.weight=0.11")
    tasks = (
        "retrieval", "classification", "finetuning", "segmentation", "localisation", "regions", "generation",
        "vqa", "shortcuts",
    )  # fmt: skip
    expected = {f"{stage}@selip" for stage in ("pretrain", "embed_studies", *(f"evaluate_{task}" for task in tasks))}
    expected |= {"audit_negatives", "draw_saliency", "tabulate_results"}
    # Pages of texts and answers: where those come out the same, nothing is shown anew.
    assert expected <= stages_run(output) <= expected | {"show_reports", "show_answers"}
