import pytest
from copies import change, experiment, is_result


def test_a_parameter_is_changed_in_place():
    params = {"a": {"b": 1, "c": 2}}
    change(params, "a.b", 5)
    change(params, "+a.new.deep", [1])
    assert params == {"a": {"b": 5, "c": 2, "new": {"deep": [1]}}}


def test_a_parameter_that_does_not_exist_is_no_change():
    with pytest.raises(KeyError, match=r"a.z: expected one of \['b'\]"):
        change({"a": {"b": 1}}, "a.z", 5)


def test_a_parameter_that_exists_is_not_added():
    with pytest.raises(KeyError, match=r"\+a.b: expected a new one"):
        change({"a": {"b": 1}}, "+a.b", 5)


def test_the_command_says_what_is_changed():
    assert experiment({"a.b": 0.5, "+a.c": False}) == "dvc exp run -S a.b=0.5 -S +a.c=false"


def test_a_copy_makes_results_anew_by_the_same_pipeline():
    assert not is_result("results/dvc.yaml")
    assert not is_result("data/dvc.lock")
    assert is_result("results/README.md")
    assert is_result("results/tables/results.csv")
