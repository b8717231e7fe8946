"""Markdown of the results pages."""

from types import SimpleNamespace

from stages.evaluation import markdown
from stages.evaluation.quantities import Quantity

DICE = Quantity("segmentation", "dice", "test", "all", 0.1)
DISTANCE = Quantity("segmentation", "hd95_mm", "test", "all", 0.1)


def difference(quantity, baseline="clip", better="yes", **cells):
    about = {
        "task": quantity.task, "metric": quantity.metric, "split": quantity.split, "class": quantity.cls,
        "label_fraction": quantity.labels, "objective": "selip", "baseline": baseline, "better": better,
        "delta": 0.1, "low": 0.05, "high": 0.15, "seed_signs": "++-",
    }  # fmt: skip
    return about | cells


def test_a_table_escapes_vertical_bars():
    assert markdown.write_table(["a", "b"], [["1|2", "3"]]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"


def test_a_better_difference_is_bold_with_signs_and_adjusted_p():
    assert markdown.show_difference(difference(DICE, p_holm=0.0123), DICE) == (
        "**+0.100 [+0.050, +0.150]** ++- p 0.012"
    )
    assert markdown.show_difference(difference(DISTANCE, better="no"), DISTANCE) == "+0.1 [+0.1, +0.1] ++-"
    assert markdown.show_difference({"reason": "one class"}, DICE) == "–"


def test_contrasts_show_only_the_columns_that_exist():
    table = markdown.contrast_table([difference(DICE), difference(DICE, "random")], {DICE: "Dice", DISTANCE: "HD95"})
    assert table.splitlines()[0] == "| difference | Dice |"
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| `selip` − `clip`", "| `selip` − `random`"]
    assert markdown.contrast_table([], {DICE: "Dice"}) == ""


def test_baselines_are_columns():
    table = markdown.baseline_table([difference(DICE), difference(DICE, "random"), difference(DISTANCE)], DICE)
    assert table.splitlines()[0] == "| method | − `clip` | − `random` |"
    assert len(table.splitlines()) == 3


def results(*names):
    params = SimpleNamespace(learn_from_labels=["supervised"], confidence=0.95)
    estimates = {name: {DICE: None} for name in names}
    return SimpleNamespace(params=params, estimates=estimates, shown=lambda name, quantity: {})


def test_methods_that_learn_from_labels_are_marked_and_the_mark_is_explained():
    shown, columns = results("clip", "supervised"), [(DICE, "Dice")]
    names = [line.split(" | ")[0] for line in markdown.method_table(shown, columns).splitlines()[2:]]
    assert names == ["| `clip`", "| `supervised`†"]
    assert "†: learns from labels" in markdown.about_table(shown, columns)
    shown.estimates["supervised"] = {}
    assert "†" not in markdown.about_table(shown, columns)
