"""dvc.yaml, params.yaml and the code agree."""

import ast
import importlib.util
import re

import pytest
from imports import OBJECTIVES, PIPELINES, ROOT, closure, stage_file, stages_of
from ruamel.yaml import YAML

STAGES = {name: stage for pipeline in PIPELINES for name, stage in stages_of(pipeline).items()}
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def declared_sections(stage):
    return {str(entry).split(".")[0] for entry in stage.get("params", [])}


def loaded_sections(file):
    """First arguments of the calls of `load` in a stage, up to the first dot."""
    sections = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        is_load = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "load"
        if is_load and len(node.args) >= 2:
            sections |= {text.split(".")[0].rstrip(".") for text in literals(node.args[0])}
    return sections & set(PARAMS)


def literals(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return literals(node.values[0])
    return []


# Stages that import objectives by name at run time depend on those too.
OBJECTIVE_CODE = {
    "pretrain": ["data/code/objectives/${item.method}.txt"],
    "audit_negatives": ["data/code/objectives"],
    "evaluate_regions": ["data/code/objectives"],
    "evaluate_generation": ["data/code/objectives"],
    "evaluate_vqa": ["data/code/objectives"],
    "evaluate_vqa_blind": ["data/code/objectives"],
}


@pytest.mark.parametrize("name", [name for name in STAGES if name != "trace_code"])
def test_every_stage_depends_on_the_manifest_of_its_code(name):
    stage = STAGES[name]
    declared = [str(dep) for dep in stage["deps"] if str(dep).startswith("data/code/")]
    assert declared == [f"data/code/{stage_file(stage['cmd']).stem}.txt", *OBJECTIVE_CODE.get(name, [])]


@pytest.mark.parametrize("name", STAGES)
def test_declared_params_are_the_sections_that_are_loaded(name):
    stage = STAGES[name]
    assert loaded_sections(stage_file(stage["cmd"])) == declared_sections(stage)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_says_what_it_does(name):
    assert STAGES[name]["desc"]


def test_every_section_is_used():
    declared = set().union(*(declared_sections(stage) for stage in STAGES.values()))
    assert set(PARAMS) - {"cohort"} == declared


def test_only_volumes_depend_on_the_nifti_folder():
    readers = [name for name, stage in STAGES.items() if "data/converted/nifti" in stage["deps"]]
    assert readers == ["prepare_volumes"]


def test_objectives_name_their_file_and_similarity():
    for name, entry in PARAMS["objectives"].items():
        assert (ROOT / f"{OBJECTIVES}{entry['method']}.py").is_file(), name
        made = {f"data/similarity/{key}.safetensors" for key in PARAMS["similarities"]}
        assert entry["similarity"] in made | {"data/none"}, name


def test_sections_that_list_objectives_list_known_ones():
    for name, section in PARAMS.items():
        if isinstance(section.get("objectives"), list):
            assert set(section["objectives"]) <= set(PARAMS["objectives"]), name


def test_every_similarity_is_used():
    used = {entry["similarity"] for entry in PARAMS["objectives"].values()}
    assert {f"data/similarity/{key}.safetensors" for key in PARAMS["similarities"]} <= used


def test_only_objectives_are_asked():
    assert set(PARAMS["evaluate_vqa"]["objectives"]) <= set(PARAMS["objectives"])


def test_objectives_that_are_given_labels_are_marked_in_the_tables():
    marked = set(PARAMS["tabulate_results"]["learn_from_labels"])
    given = {name for name, entry in PARAMS["objectives"].items() if entry["labels"] != "data/none"}
    assert given <= marked
    assert {re.sub("_own(_shuffled)?$", "", name) for name in marked} <= set(PARAMS["objectives"])


def test_no_stage_has_the_name_of_another():
    assert len(STAGES) == sum(len(stages_of(pipeline)) for pipeline in PIPELINES)


def test_no_stage_or_objective_imports_an_objective():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / OBJECTIVES).glob("*.py")} - {f"{OBJECTIVES}base.py"}
    for stage in STAGES.values():
        assert not files & set(closure(stage_file(stage["cmd"]))), stage["cmd"]
    for file in files:
        assert not (files - {file}) & set(closure(ROOT / file)), file


def test_every_stage_module_is_importable_by_name():
    for stage in STAGES.values():
        name = stage["cmd"].split()[2]
        assert importlib.util.find_spec(name), name
