"""What figures share."""

from pathlib import Path

from stages.evaluation.drawing import labelled, style_of
from stages.evaluation.tables import Results, TabulateParams

PARAMS = TabulateParams(
    seed=0,
    num_resamples=10,
    num_sign_flips=10,
    num_workers=1,
    confidence=0.95,
    min_patients=5,
    primary_split="test",
    reference="m0",
    baselines=[],
    contrasts={},
    learn_from_labels=[],
    simulated_folder=Path(),
    publish_examples=False,
)


def results(names, *, is_simulated=True):
    return Results(PARAMS, {name: {} for name in names}, is_simulated)


def test_twelve_methods_look_different_and_references_are_grey():
    methods = [f"m{number}" for number in range(12)]
    shown = results(["chance", "metadata", *methods])
    styles = [style_of(shown, name) for name in methods]
    assert len({style.colour for style in styles}) == 12
    assert style_of(shown, "metadata").colour not in {style.colour for style in styles}
    assert style_of(shown, "scratch").line != styles[0].line


def test_a_method_looks_the_same_whatever_references_stand_beside_it():
    assert style_of(results(["chance", "oracle", "a", "b"]), "b") == style_of(results(["a", "b"]), "b")


def test_only_a_simulated_cohort_is_called_so():
    assert labelled("Title", results([])) == "Title (simulated cohort)"
    assert labelled("Title", results([], is_simulated=False)) == "Title"
