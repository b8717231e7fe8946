"""Compare results tables with committed ones, within twice the measured spread of reruns.

Floating-point sums differ between processors and thread counts, and training amplifies them, so
tables agree only up to a spread. ``--measure`` records it from reruns; the comparison names every
cell that lies more than twice as far off, and every cell whose kind nobody has measured. Twice, because
the largest of a few differences falls short of the largest of the next ones.

Cells share a tolerance with others of their task, metric and kind. Kinds are kept apart because they
move differently: a number of one class or subset rests on fewer cases, and moves in larger steps, than
one of all; one seed moves more than the mean of several; the ends of an interval more than its middle. Intervals of
few patients are left out, and of a text's findings it depends on the text which patients count: where
reruns disagree on whether there is an interval, that is recorded of the kind, and allowed.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KEY = ("task", "metric", "objective", "split", "class", "label_fraction", "shots", "draw", "seed")
VALUES = ("value", "low", "high")
WHOLES = ("all", "macro")
SPREAD = Path("results/rerun_spread.csv")
# Times the measured spread that a cell may move.
MARGIN = 2.0
# Below it a difference is rounding of the table itself.
ROUNDING = 1.01e-5

Cell = tuple[str, ...]
Kind = tuple[str, str, str]


def read_cells(folder: Path) -> dict[Cell, str]:
    """Value and interval of every row of ``results.csv``, by what the cell is about and its column.

    Raises:
        ValueError: if two rows are about the same.
    """
    cells: dict[Cell, str] = {}
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column in VALUES:
                cell = (*(row[name] for name in KEY), column)
                if cell in cells:
                    raise ValueError(f"{folder}: {name_cell(cell)} is there twice, expected once; is the table whole?")
                cells[cell] = row[column]
    return cells


def name_cell(cell: Cell) -> str:
    """Name a cell in words."""
    return " / ".join(part for part in cell if part)


def distance(left: str, right: str) -> float:
    """Absolute difference of two cells; infinite if only one is empty."""
    if not left or not right:
        return 0.0 if left == right else float("inf")
    difference = abs(float(left) - float(right))
    return difference if math.isfinite(difference) else float("inf")


def kind_of(cell: Cell) -> Kind:
    """What cells share a tolerance: task, metric, and whether it is a mean, a part of one, one seed or a bound."""
    named = dict(zip((*KEY, "column"), cell, strict=True))
    kind = "mean" if named["class"] in WHOLES else "part"
    if named["seed"] != "all":
        kind = "seed"
    elif named["column"] != "value":
        kind += "_bound"
    return named["task"], named["metric"], kind


@dataclass
class Spread:
    """How far cells of one kind move.

    Attributes:
        largest: difference between reruns.
        may_be_empty: whether reruns disagree on whether there is a number.
    """

    largest: float = 0.0
    may_be_empty: bool = False

    def allows(self, difference: float) -> bool:
        """Whether a rerun may differ so far; infinitely where only one of two cells is empty."""
        return self.may_be_empty if math.isinf(difference) else difference <= MARGIN * self.largest + ROUNDING


def measure(folders: Iterable[Path], path: Path = SPREAD, *, is_added: bool = False) -> None:
    """Write the largest difference between reruns, per task, metric and kind of cell.

    Args:
        folders: tables of reruns of one configuration.
        path: file of the spread.
        is_added: whether what was measured before stays where it is larger: of the same schedules under other data.

    Raises:
        ValueError: if the reruns do not hold the same cells, or not the same values.
    """
    runs = [read_cells(folder) for folder in folders]
    spread: dict[Kind, Spread] = defaultdict(Spread, read_spread(path) if is_added else {})
    if any(run.keys() != runs[0].keys() for run in runs):
        raise ValueError("reruns hold different cells; measure runs of one configuration")
    for cell in runs[0]:
        values = [run[cell] for run in runs]
        largest = max(distance(a, b) for a in values for b in values)
        if math.isinf(largest) and cell[-1] == "value":
            raise ValueError(f"{name_cell(cell)}: not a number in every rerun; a spread needs values")
        if math.isinf(largest):
            spread[kind_of(cell)].may_be_empty = True
        elif any(values):
            spread[kind_of(cell)].largest = max(spread[kind_of(cell)].largest, largest)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "metric", "cell", "spread", "may_be_empty"])
        writer.writerows([*key, f"{own.largest:.6f}", int(own.may_be_empty)] for key, own in sorted(spread.items()))


def read_spread(path: Path) -> dict[Kind, Spread]:
    """Read the measured spread of every kind of cell."""
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["task"], row["metric"], row["cell"]): Spread(float(row["spread"]), row["may_be_empty"] == "1")
            for row in csv.DictReader(file)
        }


def compare(committed: Path, new: Path, path: Path = SPREAD) -> list[str]:
    """Cells that differ by more than the measured spread allows, in words."""
    spread = read_spread(path)
    before, after = read_cells(committed), read_cells(new)
    faults = [f"{name_cell(cell)}: only in the committed table" for cell in before.keys() - after.keys()]
    faults += [f"{name_cell(cell)}: not in the committed table" for cell in after.keys() - before.keys()]
    for cell in before.keys() & after.keys():
        was, now = before[cell], after[cell]
        if not was and not now:
            continue
        if kind_of(cell) not in spread:
            faults.append(f"{name_cell(cell)}: nobody measured how far {', '.join(kind_of(cell))} moves; run --measure")
        elif not spread[kind_of(cell)].allows(distance(was, now)):
            faults.append(
                f"{name_cell(cell)}: committed {was or 'empty'}, now {now or 'empty'}, "
                f"measured reruns differ by {spread[kind_of(cell)].largest:.6f} at most"
            )
    return sorted(faults)


def main(arguments: list[str] | None = None) -> int:
    """Compare or measure, as the command line says; exit status 1 names cells that moved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committed", type=Path)
    parser.add_argument("--new", type=Path)
    parser.add_argument("--measure", type=Path, nargs="+", metavar="TABLES", help="tables of several reruns")
    parser.add_argument("--add", action="store_true", help="keep what was measured before, where it is larger")
    parser.add_argument("--spread", type=Path, default=SPREAD, help="file of the measured spread")
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        measure(chosen.measure, chosen.spread, is_added=chosen.add)
        return 0
    if chosen.committed is None or chosen.new is None:
        parser.error("name the tables to compare: --committed and --new, or --measure")
    faults = compare(chosen.committed, chosen.new, chosen.spread)
    sys.stdout.write("\n".join(faults[:50]) + ("\n" if faults else ""))
    sys.stdout.write(
        f"{len(faults)} of {len(read_cells(chosen.new))} cells moved beyond {MARGIN:g} times the spread of reruns\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
