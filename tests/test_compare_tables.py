"""The comparison that CI makes: it fails on what moved, on what is missing, and on what nobody measured."""

import csv

import compare_tables
import pytest
from imports import ROOT

COLUMNS = (*compare_tables.KEY, "value", "low", "high")


def row(value, low="", high="", **about):
    default = {"task": "retrieval", "metric": "ndcg@10", "objective": "clip", "split": "test", "class": "all"}
    return default | {"seed": "all", "value": value, "low": low, "high": high} | about


ROWS = [
    row("0.40000", "0.35000", "0.45000"),
    row("0.41000", seed="0"),
    row("0.30000", "0.10000", "0.50000", **{"class": "language_zh"}),
    row("0.75000", "0.70000", "0.80000", task="finetuning", metric="fine_tuning/auc", **{"class": "macro"}),
    row("", task="finetuning", metric="fine_tuning/auc", **{"class": "rare"}),
]
FINE_TUNED = "finetuning / fine_tuning/auc / clip / test / macro / all"


def write(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def moved(position, **cells):
    return [one | cells if number == position else one for number, one in enumerate(ROWS)]


@pytest.fixture
def reruns(tmp_path):
    """Three reruns: the mean moves by 0.01, its bounds by 0.02, the part by 0.1."""
    others = [
        moved(0, value="0.40600", low="0.35000", high="0.47000"),
        [*moved(0, value="0.39600")[:2], ROWS[2] | {"value": "0.40000"}, *ROWS[3:]],
    ]
    folders = [write(tmp_path / f"run{number}", rows) for number, rows in enumerate([ROWS, *others])]
    compare_tables.measure(folders, tmp_path / "spread.csv")
    return folders[0], tmp_path / "spread.csv"


def faults_of(reruns, rows, tmp_path):
    return compare_tables.compare(reruns[0], write(tmp_path / "new", rows), reruns[1])


def test_the_spread_is_measured_by_kind(reruns):
    spread = compare_tables.read_spread(reruns[1])
    assert spread["retrieval", "ndcg@10", "mean"].largest == pytest.approx(0.01)
    assert spread["retrieval", "ndcg@10", "mean_bound"].largest == pytest.approx(0.02)
    assert spread["retrieval", "ndcg@10", "part"].largest == pytest.approx(0.1)
    assert spread["retrieval", "ndcg@10", "seed"].largest == 0.0
    assert not any(kind.may_be_empty for kind in spread.values())
    assert ("finetuning", "fine_tuning/auc", "part") not in spread


def test_what_was_measured_before_is_kept_where_it_is_larger(reruns, tmp_path):
    other = write(tmp_path / "other", moved(0, value="0.43000"))
    compare_tables.main(["--measure", str(reruns[0]), str(other), "--add", "--spread", str(reruns[1])])
    spread = compare_tables.read_spread(reruns[1])
    assert spread["retrieval", "ndcg@10", "mean"].largest == pytest.approx(0.03)
    assert spread["retrieval", "ndcg@10", "mean_bound"].largest == pytest.approx(0.02)


def test_tables_within_twice_the_spread_agree(reruns, tmp_path):
    assert not faults_of(reruns, ROWS, tmp_path)
    assert not faults_of(reruns, moved(0, value="0.41900"), tmp_path)


@pytest.mark.parametrize(
    ("position", "cells", "named"),
    [
        (0, {"value": "0.42100"}, "retrieval / ndcg@10 / clip / test / all / all / value: committed 0.40000"),
        (0, {"high": "0.49100"}, "retrieval / ndcg@10 / clip / test / all / all / high: committed 0.45000"),
        (1, {"value": "0.41100"}, "retrieval / ndcg@10 / clip / test / all / 0 / value: committed 0.41000"),
        (2, {"value": "0.51000"}, "retrieval / ndcg@10 / clip / test / language_zh / all / value"),
        (3, {"value": "0.76000"}, f"{FINE_TUNED} / value: committed 0.75000, now 0.76"),
        (
            3,
            {"value": ""},
            "finetuning / fine_tuning/auc / clip / test / macro / all / value: committed 0.75000, now empty",
        ),
        (
            3,
            {"value": "nan"},
            "finetuning / fine_tuning/auc / clip / test / macro / all / value: committed 0.75000, now nan",
        ),
    ],
)
def test_a_cell_that_moved_is_named(reruns, tmp_path, position, cells, named):
    faults = faults_of(reruns, moved(position, **cells), tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith(named)


def test_a_part_may_move_further_than_the_whole(reruns, tmp_path):
    assert not faults_of(reruns, moved(2, value="0.49000"), tmp_path)


def test_a_missing_and_a_new_row_are_named(reruns, tmp_path):
    faults = faults_of(reruns, ROWS[1:], tmp_path)
    assert "retrieval / ndcg@10 / clip / test / all / all / value: only in the committed table" in faults
    faults = faults_of(reruns, [*ROWS, row("0.5", objective="another")], tmp_path)
    assert "retrieval / ndcg@10 / another / test / all / all / value: not in the committed table" in faults


def test_a_kind_that_nobody_measured_fails(reruns, tmp_path):
    both = [*ROWS[:-1], ROWS[-1] | {"value": "0.60000"}]
    committed, new = write(tmp_path / "before", both), write(tmp_path / "after", both)
    faults = compare_tables.compare(committed, new, reruns[1])
    assert len(faults) == 1
    assert "rare / all / value: nobody measured how far finetuning, fine_tuning/auc, part moves" in faults[0]


def test_reruns_of_different_cells_measure_nothing(tmp_path):
    folders = [write(tmp_path / "a", ROWS), write(tmp_path / "b", ROWS[1:])]
    with pytest.raises(ValueError, match="reruns hold different cells"):
        compare_tables.measure(folders, tmp_path / "spread.csv")
    folders[1] = write(tmp_path / "c", moved(0, value=""))
    with pytest.raises(ValueError, match="not a number in every rerun"):
        compare_tables.measure(folders, tmp_path / "spread.csv")


def test_an_interval_may_be_missing_where_reruns_disagree_on_it_and_nowhere_else(tmp_path):
    without = moved(2, low="", high="")
    folders = [write(tmp_path / "a", ROWS), write(tmp_path / "b", without)]
    compare_tables.measure(folders, tmp_path / "spread.csv")
    assert not compare_tables.compare(folders[0], folders[1], tmp_path / "spread.csv")
    whole = write(tmp_path / "c", moved(0, low="", high=""))
    faults = compare_tables.compare(folders[0], whole, tmp_path / "spread.csv")
    assert [fault.split(": ")[0].split(" / ")[-1] for fault in faults] == ["high", "low"]


def test_two_rows_of_one_cell_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="is there twice"):
        compare_tables.read_cells(write(tmp_path, [ROWS[0], ROWS[0]]))


def test_the_exit_status_tells(reruns, tmp_path, capsys):
    command = ["--committed", str(reruns[0]), "--spread", str(reruns[1]), "--new"]
    assert compare_tables.main([*command, str(reruns[0])]) == 0
    assert compare_tables.main([*command, str(write(tmp_path / "new", moved(0, value="0.9")))]) == 1
    assert "1 of 15 cells moved" in capsys.readouterr().out


def test_the_committed_spread_covers_the_committed_tables():
    spread = compare_tables.read_spread(ROOT / compare_tables.SPREAD)
    cells = compare_tables.read_cells(ROOT / "results" / "tables")
    assert not sorted({compare_tables.kind_of(cell) for cell, value in cells.items() if value} - spread.keys())
