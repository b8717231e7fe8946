"""Markdown of the results pages: tables, and numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stages.evaluation.quantities import Quantity
from stages.evaluation.tables import Results, Row

SPLIT_NAMES = {
    "test": "Test",
    "test_shifted": "Shifted test",
    "test_vendor": "Unseen vendor",
    "test_sequence": "Unseen sequence",
}
NOTHING = "–"
# Behind the name of a method that learns from labels.
LABELS_MARK = "†"


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; a vertical bar in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def method_table(results: Results, columns: Sequence[tuple[Quantity, str]]) -> str:
    """Write values with intervals, a row for every method that has any of the quantities."""
    rows = [
        [_name(results, name), *(show_value(results, name, quantity) for quantity, _ in columns)]
        for name in _shown_methods(results, columns)
    ]
    return write_table(["method", *(heading for _, heading in columns)], rows)


def about_table(results: Results, columns: Sequence[tuple[Quantity, str]]) -> str:
    """Say how many patients a table is about, as far as it may be shown, and what its intervals and marks are."""
    sizes = [results.shown(name, quantity).get("n", 0) for name in results.estimates for quantity, _ in columns]
    patients = f"Up to {max(sizes)} patients; mean" if any(sizes) else "Mean"
    about = f"{patients} over seeds, with {results.params.confidence:.0%} intervals over patients and seeds."
    is_marked = any(name in results.params.learn_from_labels for name in _shown_methods(results, columns))
    return f"{about} {LABELS_MARK}: learns from labels of images, true or mined from reports." if is_marked else about


def _shown_methods(results: Results, columns: Sequence[tuple[Quantity, str]]) -> list[str]:
    return [name for name, known in results.estimates.items() if any(quantity in known for quantity, _ in columns)]


def _name(results: Results, name: str) -> str:
    return f"`{name}`{LABELS_MARK}" if name in results.params.learn_from_labels else f"`{name}`"


def contrast_table(comparisons: Iterable[Row], columns: Mapping[Quantity, str]) -> str:
    """Write paired differences, a row for every pair of methods.

    Args:
        comparisons: rows of ``comparisons.csv``.
        columns: the quantities to show, with their headings.
    """
    by_key = {_key(quantity): quantity for quantity in columns}
    by_pair: dict[tuple[str, str], dict[Quantity, str]] = {}
    for row in comparisons:
        if (quantity := by_key.get(_key_of_row(row))) is not None:
            by_pair.setdefault((row["objective"], row["baseline"]), {})[quantity] = show_difference(row, quantity)
    shown = [q for q in columns if any(q in cells for cells in by_pair.values())]
    rows = [
        [f"`{name}` − `{baseline}`", *(cells.get(quantity, NOTHING) for quantity in shown)]
        for (name, baseline), cells in by_pair.items()
    ]
    return write_table(["difference", *(columns[quantity] for quantity in shown)], rows) if rows else ""


def baseline_table(comparisons: Iterable[Row], quantity: Quantity) -> str:
    """Write one quantity's paired differences, a row for every method and a column for every baseline."""
    cells: dict[str, dict[str, str]] = {}
    for row in comparisons:
        if _key_of_row(row) == _key(quantity):
            cells.setdefault(row["objective"], {})[row["baseline"]] = show_difference(row, quantity)
    baselines = list(dict.fromkeys(baseline for found in cells.values() for baseline in found))
    rows = [[f"`{name}`", *(found.get(baseline, NOTHING) for baseline in baselines)] for name, found in cells.items()]
    return write_table(["method", *(f"− `{baseline}`" for baseline in baselines)], rows) if rows else ""


def show_value(results: Results, name: str, quantity: Quantity) -> str:
    """Write a value with its interval."""
    cell = results.shown(name, quantity)
    if "value" not in cell:
        return NOTHING
    digits = _digits(quantity)
    span = f" [{cell['low']:.{digits}f}, {cell['high']:.{digits}f}]" if "low" in cell else ""
    return f"{cell['value']:.{digits}f}{span}"


def show_difference(row: Row, quantity: Quantity) -> str:
    """Write a row of ``comparisons.csv`` in short: difference, interval, signs of the seeds, adjusted p."""
    if "delta" not in row:
        return NOTHING
    digits = _digits(quantity)
    text = f"{row['delta']:+.{digits}f} [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]"
    text = f"**{text}**" if row["better"] == "yes" else text
    return " ".join([text, row["seed_signs"], *([f"p {row['p_holm']:.3f}"] if "p_holm" in row else [])]).strip()


def name_split(split: str) -> str:
    """Name a split in words."""
    return SPLIT_NAMES.get(split, split)


def _digits(quantity: Quantity) -> int:
    return 1 if quantity.metric.rsplit("/", 1)[-1] in ("median_rank", "hd95_mm") else 3


def _key(quantity: Quantity) -> tuple[str, ...]:
    return quantity.task, quantity.metric, quantity.split, quantity.cls, quantity.labels


def _key_of_row(row: Row) -> tuple[str, ...]:
    return row["task"], row["metric"], row["split"], row["class"], row["label_fraction"] or ""
