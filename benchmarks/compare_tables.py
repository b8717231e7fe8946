"""Compare results tables with committed ones, within the measured spread of reruns.

Floating-point sums differ between processors and thread counts, and training amplifies them, so
tables agree only up to a spread. ``--measure`` records it from reruns; the comparison names every
cell that lies further off.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from pathlib import Path

KEY = ("task", "metric", "objective", "split", "class", "label_fraction", "draw", "seed")
SPREAD = Path("results/rerun_spread.csv")
# Below it a difference is rounding of the table itself.
ROUNDING = 1e-6


def read_cells(folder: Path) -> dict[tuple[str, ...], str]:
    """Value of every cell of ``results.csv``, by what the cell is about."""
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return {tuple(row[name] for name in KEY): row["value"] for row in csv.DictReader(file)}


def distance(left: str, right: str) -> float:
    """Absolute difference of two cells; infinite if only one is empty."""
    if not left or not right:
        return 0.0 if left == right else float("inf")
    difference = abs(float(left) - float(right))
    return difference if math.isfinite(difference) else float("inf")


def spread_key(cell: tuple[str, ...]) -> tuple[str, str, str]:
    """What cells share a tolerance: task, metric, and whether the cell averages over seeds."""
    named = dict(zip(KEY, cell, strict=True))
    return named["task"], named["metric"], "mean" if named["seed"] == "all" else "seed"


def measure(folders: list[Path]) -> None:
    """Write the largest difference between reruns, per task, metric and kind of cell."""
    runs = [read_cells(folder) for folder in folders]
    spread: dict[tuple[str, str, str], float] = defaultdict(float)
    if any(run.keys() != runs[0].keys() for run in runs):
        raise ValueError("reruns hold different cells; measure runs of one configuration")
    for cell in runs[0]:
        values = [run.get(cell, "") for run in runs]
        largest = max(distance(a, b) for a in values for b in values)
        if not math.isfinite(largest):
            raise ValueError(f"{' / '.join(cell)}: not a number in every rerun; a spread needs values")
        spread[spread_key(cell)] = max(spread[spread_key(cell)], largest)
    with SPREAD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "metric", "cell", "spread"])
        writer.writerows([*key, f"{value:.6f}"] for key, value in sorted(spread.items()))


def compare(committed: Path, new: Path) -> list[str]:
    """Cells that differ by more than the measured spread, in words."""
    with SPREAD.open(newline="", encoding="utf-8") as file:
        tolerance = {(row["task"], row["metric"], row["cell"]): float(row["spread"]) for row in csv.DictReader(file)}
    before, after = read_cells(committed), read_cells(new)
    faults = [f"{' / '.join(cell)}: only in the committed table" for cell in before.keys() - after.keys()]
    faults += [f"{' / '.join(cell)}: not in the committed table" for cell in after.keys() - before.keys()]
    for cell in before.keys() & after.keys():
        allowed = tolerance.get(spread_key(cell), 0.0) + ROUNDING
        if distance(before[cell], after[cell]) > allowed:
            faults.append(
                f"{' / '.join(cell)}: committed {before[cell] or 'empty'}, now {after[cell] or 'empty'}, "
                f"reruns differ by at most {allowed:.6f}"
            )
    return sorted(faults)


def main() -> int:
    """Compare or measure, as the command line says; exit status 1 names cells that moved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--committed", type=Path)
    parser.add_argument("--new", type=Path)
    parser.add_argument("--measure", type=Path, nargs="+", metavar="TABLES", help="tables of several reruns")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return 0
    faults = compare(arguments.committed, arguments.new)
    sys.stdout.write("\n".join(faults[:50]) + ("\n" if faults else ""))
    sys.stdout.write(f"{len(faults)} of {len(read_cells(arguments.new))} cells moved beyond the spread of reruns\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
