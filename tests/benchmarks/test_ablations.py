import copy
import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ablations import COMPARED_WITH, page, parameter_hash, pipeline_params, read_ablations, resolve, row_cells, targets
from copies import ROOT, experiment, read_yaml
from imports import stages_of

from stages.evaluation.quantities import Quantity

PARAMS = read_yaml(ROOT / "params.yaml")
ABLATIONS = read_ablations(ROOT / "benchmarks" / "ablations.yaml")
ROWS = [(base, name) for base, rows in ABLATIONS.items() for name in rows]


@pytest.mark.parametrize(("base", "name"), ROWS)
def test_every_ablation_changes_parameters_that_exist(base, name):
    entry, similarity = resolve(PARAMS, base, ABLATIONS[base][name])
    default = (PARAMS["objectives"][base], PARAMS["similarities"]["convex"])
    assert ((entry, similarity) == default) == (not ABLATIONS[base][name])


@pytest.mark.parametrize(("base", "name"), [row for row in ROWS if ABLATIONS[row[0]][row[1]]])
def test_the_readme_has_the_line_of_every_ablation(base, name):
    assert experiment(ABLATIONS[base][name]) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_names_are_parts_of_dotted_parameter_paths():
    assert not [name for _, name in ROWS if "." in name]


def test_the_first_row_of_each_objective_is_its_default():
    assert all(not next(iter(rows.values())) for rows in ABLATIONS.values())


def test_the_copy_trains_every_ablation_with_its_own_similarity():
    changed = pipeline_params(PARAMS, ABLATIONS)
    assert list(changed["objectives"]) == [name for _, name in ROWS]
    assert changed["objectives"]["selip_dice"]["similarity"] == "data/similarity/selip_dice.safetensors"
    assert changed["similarities"]["selip_dice"]["mix"] == "syntax"
    assert changed["objectives"]["selip_default"] == PARAMS["objectives"]["selip"]
    assert set(changed["similarities"]) >= set(PARAMS["similarities"])


def test_the_stages_that_are_run_are_those_of_the_evaluations():
    known = stages_of(ROOT / "results" / "dvc.yaml")
    for target in targets(["a"], ["a"]):
        assert target.removeprefix("results/dvc.yaml:").removesuffix("@a") in known


def gigaflops(objective):
    figures = json.loads((ROOT / "data" / "training" / f"{objective}.json").read_text(encoding="utf-8"))
    return figures["seed0"]["gigaflops_per_image"]


@pytest.mark.parametrize("base", ["mlip", "gk_mvlp"])
def test_equal_operations_are_equal(base):
    updates = ABLATIONS[base][f"{base}_equal_flops"][f"+objectives.{base}.updates"]
    assert updates * gigaflops(base) == pytest.approx(PARAMS["pretrain"]["updates"] * gigaflops("clip"), rel=0.03)


def test_a_figure_that_the_other_row_lacks_stands_without_a_difference():
    own = Quantity("regions", "region_ap", "", "all")
    estimates = {"a": {replace(own, split="test"): SimpleNamespace(seeds=[0, 1])}, "b": {}}
    results = SimpleNamespace(estimates=estimates, shown=lambda name, quantity: {"value": 0.5})
    assert row_cells(results, "a", "b", own) == {"value": 0.5, "num_seeds": 2}


def test_rows_are_compared_with_rows_that_exist():
    names = {name for _, name in ROWS}
    assert {*COMPARED_WITH, *COMPARED_WITH.values()} <= names


def hash_of(params, base="selip", name="selip_default"):
    return parameter_hash(params, *resolve(params, base, ABLATIONS[base][name]))


def test_the_hash_tells_every_ablation_from_every_other():
    assert len({hash_of(PARAMS, base, name) for base, name in ROWS}) == len(ROWS)


def test_the_hash_holds_until_a_parameter_of_the_row_changes():
    changed = copy.deepcopy(PARAMS)
    changed["evaluate_segmentation"]["updates"] = 3
    changed["objectives"]["convirt"]["params"]["temperature"] = 0.2
    assert hash_of(changed) == hash_of(PARAMS)
    changed["similarities"]["convex"]["statements"] = 0.9
    assert hash_of(changed, "clip", "clip_default") == hash_of(PARAMS, "clip", "clip_default")
    assert hash_of(changed) != hash_of(PARAMS)
    changed = copy.deepcopy(PARAMS)
    changed["pretrain"]["updates"] = 3
    assert hash_of(changed) != hash_of(PARAMS)


def test_the_committed_table_was_made_with_the_committed_parameters():
    with (ROOT / "results" / "ablations.csv").open(newline="", encoding="utf-8") as file:
        committed = {row["ablation"]: row["parameters"] for row in csv.DictReader(file)}
    assert committed == {name: hash_of(PARAMS, base, name) for base, name in ROWS}, "run `make ablations`"


def test_the_page_marks_what_differs():
    about = {"ablation": "a", "changes": "", "figure": "nDCG@10", "split": "test", "value": 0.5}
    better = about | {
        "ablation": "b",
        "changes": "dvc exp run -S x=1",
        "delta": 0.1,
        "delta_low": 0.05,
        "delta_high": 0.2,
    }
    text = page([about, better], about="Simulated cohort")
    assert "| `a` | 0.500 | – |" in text
    assert "| `b` | **0.500 [+0.050, +0.200]** | `dvc exp run -S x=1` |" in text
