import numpy as np
import pytest

from stages.artifacts import evaluation_tables, tables
from stages.evaluation import grounding
from stages.evaluation.cases import CHANCE, ORACLE
from stages.evaluation.grounding import Target
from stages.evaluation.localisation import (
    Case,
    LocalisationParams,
    reference_rows,
    score_maps,
    summarise,
    to_rows,
    to_table,
)

PARAMS = LocalisationParams(
    splits=["test"],
    prompt_score="positive",
    min_covered=0.25,
    size_bounds_ml=(10.0, 30.0),
    batch_size=4,
    num_threads=1,
    max_resident_gib=1.0,
)


def case(study, finding="infarct", split="test", volume_ml=5.0, inside=(8, 0, 0, 0)):
    target = Target(np.arange(len(inside)), np.array(inside), np.full(len(inside), 8))
    return Case(study, f"patient of {study}", split, finding, volume_ml, (0,), target)


def by_key(rows):
    return {(row["study_id"], row["metric"], row["class"]): row["value"] for row in rows}


def test_the_threshold_comes_from_validation_alone():
    found = np.array([5.0, 1.0, 0.0, 0.0])
    missed = np.array([0.0, 0.0, 0.0, 5.0])
    cases = [case("a", split="validation"), case("b"), case("c")]
    _, threshold = score_maps(cases, [found, found, found], PARAMS)
    assert threshold == score_maps(cases, [found, missed, missed], PARAMS)[1]
    assert threshold == score_maps(cases, [found, None, None], PARAMS)[1]


def test_without_validation_there_is_no_overlap_but_everything_else():
    values, threshold = score_maps([case("a")], [np.array([5.0, 1.0, 0.0, 0.0])], PARAMS)
    assert threshold is None
    assert np.isnan(values[grounding.IOU]).all()
    assert values[grounding.POINTING].tolist() == [1.0]


def test_a_case_without_a_phrase_has_no_value():
    values, _ = score_maps([case("a"), case("b")], [None, np.arange(4.0)], PARAMS)
    assert all(np.isnan(of_cases[0]) for of_cases in values.values())
    rows = to_rows([case("a"), case("b")], values, PARAMS, name="clip", seed=0, kind="prompt")
    assert {row["study_id"] for row in rows} == {"b"}


def test_values_do_not_depend_on_level_and_range_of_a_map():
    cases = [case("a", split="validation"), case("b", inside=(1, 8, 0, 0))]
    maps = [np.array([5.0, 1.0, 0.0, 0.0]), np.array([1.0, 3.0, 2.0, 0.0])]
    values, threshold = score_maps(cases, maps, PARAMS)
    moved, moved_threshold = score_maps(cases, [maps[0], 7 * maps[1] - 3], PARAMS)
    assert threshold == moved_threshold
    for metric in grounding.METRICS:
        assert moved[metric] == pytest.approx(values[metric])


def test_a_study_stands_once_in_each_class():
    cases = [
        case("a", "infarct", volume_ml=5.0),
        case("a", "cyst", volume_ml=9.9),
        case("a", "mass", volume_ml=30.0),
        case("b", "infarct", volume_ml=10.0),
        case("v", "infarct", split="validation"),
    ]
    values = {grounding.POINTING: np.array([1.0, 0.0, 0.5, 0.25, 1.0])}
    rows = to_rows(cases, values, PARAMS, name="clip", seed=3, kind="sentence")
    metric = "sentence/pointing_game"
    assert by_key(rows) == {
        ("a", metric, "infarct"): 1.0,
        ("a", metric, "cyst"): 0.0,
        ("a", metric, "mass"): 0.5,
        ("a", metric, "all"): 0.5,
        ("a", metric, "size_small"): 0.5,
        ("a", metric, "size_large"): 0.5,
        ("b", metric, "infarct"): 0.25,
        ("b", metric, "all"): 0.25,
        ("b", metric, "size_medium"): 0.25,
    }
    assert {(row["objective"], row["seed"], row["split"]) for row in rows} == {("clip", 3, "test")}


def test_references_stand_where_phrases_do(tmp_path):
    cases = [case("a"), case("b", inside=(1, 0, 0, 0))]
    has_phrase = {"prompt": np.array([True, True]), "sentence": np.array([False, True])}
    chance = by_key(reference_rows(CHANCE, cases, has_phrase, PARAMS))
    oracle = by_key(reference_rows(ORACLE, cases, has_phrase, PARAMS))
    assert chance.keys() == oracle.keys()
    assert ("a", "sentence/iou", "all") not in chance
    assert chance["b", "sentence/pointing_game", "all"] == 0.25
    assert oracle["b", "sentence/pointing_game", "all"] == 1.0
    assert oracle["a", "prompt/iou", "infarct"] == 1.0
    assert oracle["b", "prompt/iou", "infarct"] == 0.125


def test_an_empty_table_is_valid(tmp_path):
    table = to_table(reference_rows(ORACLE, [], {"prompt": np.array([], dtype=bool)}, PARAMS))
    tables.write(tmp_path / "cases.parquet", table, evaluation_tables.MEASURE_CASES)
    assert summarise(table) == {}


def test_the_summary_is_of_all_findings():
    rows = to_rows([case("a"), case("b")], {"iou": np.array([0.2, 0.4])}, PARAMS, name="x", seed=0, kind="prompt")
    assert summarise(to_table(rows)) == {"test": {"prompt": {"iou": pytest.approx(0.3)}}}
