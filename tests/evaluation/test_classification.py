"""Scores and labels of classification, against loops; metadata features by hand."""

import numpy as np
import pytest
from evaluated_cohort import FINDINGS, CohortFiles
from sklearn.metrics import roc_auc_score

from stages.artifacts import tables, truth_tables
from stages.evaluation import classification, scorings
from stages.evaluation.classification import ClassificationParams
from stages.evaluation.embeddings import Embeddings, Images, normalise
from stages.evaluation.labels import Labels
from stages.evaluation.metadata import read_features
from stages.evaluation.probes import Budget
from stages.evaluation.scorings import Cohort, Evaluated, Scoring, to_cases
from stages.evaluation.subtype_tasks import SubtypeTask, add_subtype_tasks
from stages.evaluation.summaries import summarise_classification

PARAMS = ClassificationParams(
    splits=["test"], min_positives=3, label_fractions=[0.1, 1.0], shots=[2], num_draws=2, draw_seed=0, probed="image"
)
TASKS = {"infarct_age": SubtypeTask(finding="infarct", positive="acute infarct", negative="chronic infarct")}
PROMPTS = {n: (FINDINGS[n % 5], "positive" if n < 5 else "negative") for n in range(10)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CohortFiles(tmp_path_factory.mktemp("cohort")).write({"clip": 1.0}, num_seeds=2)


def labels_of(files):
    return Labels.load(files.path("truth/labels.parquet"))


@pytest.fixture(scope="module")
def embeddings(files):
    return Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))


@pytest.fixture(scope="module")
def cohort(files, embeddings):
    return Cohort.build(embeddings.images, labels_of(files))


@pytest.fixture(scope="module")
def scored(embeddings, cohort):
    return list(classification.score_objective(embeddings, cohort, PROMPTS, PARAMS))


def test_zero_shot_is_the_difference_of_two_cosines(embeddings, scored):
    zero_shot = next(scoring for scoring in scored if scoring.protocol == "zero_shot")
    images, prompts = (normalise(embeddings.arrays[f"0/{kind}"].astype(np.float32)) for kind in ("image", "prompt"))
    for column, finding in enumerate(zero_shot.classes):
        n = FINDINGS.index(finding)
        expected = images @ prompts[n] - images @ prompts[n + 5]
        np.testing.assert_allclose(zero_shot.scores[:, column], expected, atol=1e-5)


def test_prompts_of_one_meaning_are_averaged(embeddings, cohort):
    prompts = {n: ("mass", "positive" if n in {0, 3} else "negative") for n in range(10)}
    scoring = next(classification.score_objective(embeddings, cohort, prompts, PARAMS))
    images, vectors = (normalise(embeddings.arrays[f"0/{kind}"].astype(np.float32)) for kind in ("image", "prompt"))
    groups = [vectors[[0, 3]].mean(axis=0), vectors[[1, 2, 4, 5, 6, 7, 8, 9]].mean(axis=0)]
    expected = images @ (groups[0] / np.linalg.norm(groups[0]) - groups[1] / np.linalg.norm(groups[1]))
    assert scoring.classes == ["mass"]
    np.testing.assert_allclose(scoring.scores[:, 0], expected, atol=1e-5)


def test_every_seed_budget_and_draw_is_there(scored):
    probed = [(s.seed, s.budget, s.draw) for s in scored if s.protocol == "linear_probe"]
    few, tenth, whole = Budget(shots=2), Budget(label_fraction=0.1), Budget(label_fraction=1.0)
    of_seed = [(few, 0), (few, 1), (tenth, 0), (tenth, 1), (whole, 0)]
    assert probed == [(seed, *rest) for seed in (0, 1) for rest in of_seed]


def test_cases_are_the_known_labels_of_the_evaluated_and_validation_splits(cohort, scored):
    cases = to_cases([Evaluated(cohort, PARAMS.splits, scored)], name="clip")
    assert set(cases["split"].to_pylist()) == {"validation", "test"}
    assert len(cases) == len(scored) * (24 + 40) * len(FINDINGS)


def test_cases_say_how_many_labels_were_used(cohort, scored):
    cases = to_cases([Evaluated(cohort, PARAMS.splits, scored)], name="clip").to_pandas()
    probed = cases[cases["protocol"] == "linear_probe"]
    assert (probed["shots"].isna() != probed["label_fraction"].isna()).all()
    assert set(probed["shots"].dropna()) == {2}
    assert cases[cases["protocol"] == "zero_shot"][["shots", "label_fraction", "draw"]].isna().all(axis=None)


def test_more_labels_help_a_probe(cohort, scored):
    summary = summarise_classification([Evaluated(cohort, ["test"], scored)], min_positives=3, tasks=())["test"]
    assert summary["linear_probe_2_shot_macro_auc"] < summary["linear_probe_1_macro_auc"]


def test_views_of_an_unseen_sequence_are_a_protocol_and_a_split_of_their_own(embeddings, files):
    views = classification.transfer_cohort(embeddings, labels_of(files))
    scored = list(classification.score_transfer(embeddings, views, PROMPTS, PARAMS))
    assert {s.protocol for s in scored} == {"zero_shot_transfer", "linear_probe_transfer"}
    assert {s.budget.shots for s in scored} == {None}
    cases = to_cases([Evaluated(views, [classification.TEST_SEQUENCE], scored)], name="clip").to_pandas()
    assert set(cases["split"]) == {"validation", "test_sequence"}
    shown = {files.study_ids[n] for n in range(0, len(files.study_ids), 2) if files.splits[n] == "test"}
    assert set(cases[cases["split"] == "test_sequence"]["study_id"]) == shown
    # The views are the images themselves here: zero-shot gives them the same scores.
    whole = next(
        classification.score_objective(embeddings, Cohort.build(embeddings.images, labels_of(files)), PROMPTS, PARAMS)
    )
    np.testing.assert_allclose(scored[0].scores, whole.scores[::2], atol=1e-6)


def test_embeddings_without_such_views_have_nothing_to_transfer(files):
    files.write_embeddings("old", 1.0, has_transfer=False)
    old = Embeddings.load(files.path("embeddings/old.safetensors"), files.path("embeddings/old.parquet"))
    views = classification.transfer_cohort(old, labels_of(files))
    assert not len(old.transfer)
    assert not list(classification.score_transfer(old, views, PROMPTS, PARAMS))


def test_chance_is_asked_what_the_methods_are_asked(cohort, scored):
    chance = list(classification.uninformed_scores(cohort, PARAMS))
    asked = {(s.protocol, s.budget) for s in scored}
    assert asked <= {(s.protocol, s.budget) for s in chance}
    assert {s.budget for s in chance if s.protocol == "fine_tuning"} == {b for p, b in asked if p == "linear_probe"}


def test_a_two_class_task_is_summarised_beside_the_macro_average(files, embeddings):
    labels = add_subtype_tasks(labels_of(files), files.path("truth/lesions.parquet"), TASKS)
    cohort = Cohort.build(embeddings.images, labels)
    scored = list(classification.score_objective(embeddings, cohort, PROMPTS, PARAMS))
    ours = summarise_classification([Evaluated(cohort, ["test"], scored)], min_positives=3, tasks=TASKS)["test"]
    assert "linear_probe_1_infarct_age_auc" in ours
    column = cohort.classes.index("infarct_age")
    kept = [Scoring(s.protocol, s.seed, s.budget, s.draw, s.classes[:column], s.scores[:, :column]) for s in scored]
    alone = summarise_classification([Evaluated(cohort, ["test"], kept)], min_positives=3, tasks=())["test"]
    assert alone == {name: value for name, value in ours.items() if name.endswith("macro_auc")}


def test_the_mean_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(60, 4)).round(1), (rng.random((60, 4)) < 0.3).astype(float)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    labels[:, 3] = 0.0
    known = ~np.isnan(labels)
    areas = [roc_auc_score(labels[known[:, c], c], scores[known[:, c], c]) for c in range(3)]
    assert scorings.mean_auc(scores, labels) == pytest.approx(np.mean(areas))
    assert np.isnan(scorings.mean_auc(scores, labels, min_positives=61))


def test_a_probe_of_features_that_are_not_there_is_an_error(embeddings, cohort):
    params = PARAMS.model_copy(update={"probed": "feature"})
    with pytest.raises(ValueError, match="no 'feature' embeddings of seed 0"):
        list(classification.score_objective(embeddings, cohort, {n: ("mass", "positive") for n in range(10)}, params))


def test_an_unknown_label_is_no_case_and_trains_nothing(files, embeddings):
    table = tables.read(files.path("truth/labels.parquet"), truth_tables.LABELS).to_pylist()
    hidden = {study_id for study_id in embeddings.images.study_ids[::3]}
    rows = [row | {"label": None if row["study_id"] in hidden else row["label"]} for row in table]
    path = files.path("partly/labels.parquet")
    tables.write(path, tables.from_rows(truth_tables.LABELS, rows), truth_tables.LABELS)
    cohort = Cohort.build(embeddings.images, Labels.load(path))
    scored = list(classification.score_probes(np.eye(len(cohort.study_ids)), cohort, PARAMS, seed=0))
    cases = to_cases([Evaluated(cohort, PARAMS.splits, scored)], name="x")
    assert not hidden & set(cases["study_id"].to_pylist())


def test_truth_comes_before_what_reports_say(tmp_path):
    rows = [
        {"study_id": "a", "finding": "mass", "label": 1, "source": "truth"},
        {"study_id": "a", "finding": "cyst", "label": 1, "source": "mined"},
    ]
    tables.write(tmp_path / "labels.parquet", tables.from_rows(truth_tables.LABELS, rows), truth_tables.LABELS)
    labels = Labels.load(tmp_path / "labels.parquet")
    assert labels.classes == ["mass"]
    assert labels.of(["a", "b"]).tolist()[0] == [1.0]
    assert np.isnan(labels.of(["b"])).all()


def test_sequences_of_a_study_are_pooled(files):
    images = Images(["s1", "s2", "s1"], ["p1", "p2", "p1"], ["test"] * 3, [None] * 3)
    cohort = Cohort.build(images, labels_of(files))
    assert cohort.study_ids == ["s1", "s2"]
    pooled = cohort.pool(np.array([[1.0, 0.0], [5.0, 5.0], [0.0, 1.0]]))
    assert pooled.tolist() == [[0.5, 0.5], [5.0, 5.0]]


def test_metadata_names_sequences_vendor_spacing_age_and_field_strength(files):
    features = read_features(files.path("converted/series.parquet"), files.study_ids[:4])
    # Sequences FLAIR, T1, T2; vendors ge, siemens; then value and missing flag of four numbers.
    assert features[0].tolist() == [1, 1, 0, 0, 1, 5, 0, 1, 0, pytest.approx(42.0), 1, 1.5, 0]
    assert features[1].tolist() == [0, 1, 1, 1, 0, 5, 0, 1, 0, 41, 0, 1.5, 0]


def test_a_tensor_of_another_index_is_an_error(files):
    other = CohortFiles(files.folder / "other", num_test=10).write({"clip": 1.0})
    with pytest.raises(ValueError, match="come from different runs"):
        Embeddings.load(files.path("embeddings/clip.safetensors"), other.path("embeddings/clip.parquet"))
