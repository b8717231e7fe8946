"""Figures of the results pages: methods side by side with their intervals, and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stages.evaluation.cases import CHANCE
from stages.evaluation.curves import draw_few_labels, draw_recalls
from stages.evaluation.drawing import labelled, save, style_of
from stages.evaluation.quantities import Quantity
from stages.evaluation.tables import Results
from stages.evaluation.tasks import TASKS
from stages.evaluation.views import Column, Task, View

# Panels of a forest plot; what is further right is in the tables.
_MAX_PANELS = 6


@dataclass(frozen=True)
class Drawn:
    """A figure that was written: its file, its caption and the tasks whose pages show it."""

    file: str
    caption: str
    tasks: tuple[str, ...]


def draw_all(folder: Path, results: Results) -> list[Drawn]:
    """Draw every figure of the pages that there is something to draw for."""
    mpl.rcParams["font.size"] = 9
    split = results.params.primary_split
    drawn = []
    for task in TASKS:
        panels = results.columns(task, task.views[0], split)[:_MAX_PANELS]
        if panels and task.is_compared:
            title = f"{task.title}, {split} split"
            draw_forest(folder / f"{task.name}.png", results, panels, title)
            drawn.append(Drawn(f"{task.name}.png", f"{title}; dashed: no pretraining", (task.name,)))
        for ending, column in task.by_class:
            drawn += _draw_classes(folder, f"{task.name}_by_class{ending}.png", results, task, column)
    drawn += [Drawn(*one) for one in (*draw_few_labels(folder, results), *draw_recalls(folder, results))]
    return drawn


def draw_forest(path: Path, results: Results, panels: Sequence[tuple[Quantity, str]], title: str) -> None:
    """Draw one panel per quantity, one row per method: value and interval, chance as a line.

    Args:
        path: PNG to write.
        results: of every method.
        panels: what to show, with the axis label of each panel.
        title: of the whole figure.
    """
    quantities = [quantity for quantity, _ in panels]
    names = [
        name for name, known in results.estimates.items() if name != CHANCE and any(q in known for q in quantities)
    ]
    figure = Figure(figsize=(2.0 + 2.3 * len(panels), 1.4 + 0.3 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (quantity, label) in zip(grid, panels, strict=True):
        for row, name in enumerate(names):
            _draw_interval(axes, results, name, quantity, row)
        chance = results.shown(CHANCE, quantity)
        if "value" in chance:
            axes.axvline(chance["value"], color="#555555", linewidth=0.8, linestyle="--")
        axes.set_xlabel(f"{label}\n(less is better)" if quantity.is_lower_better else label)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
    _share_scales(dict(zip(quantities, grid, strict=True)))
    grid[0].set_yticks(range(len(names)), names)
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(labelled(title, results), fontsize=11)
    save(figure, path)


def draw_heatmap(path: Path, rows: Sequence[str], columns: Sequence[str], values: np.ndarray, title: str) -> None:
    """Draw a table of numbers as colours, each with its number.

    Args:
        path: PNG to write.
        rows: names of the methods.
        columns: names of the classes.
        values: shape (rows, columns), NaN where there is no number.
        title: of the figure.
    """
    figure = Figure(figsize=(max(7.0, 2.6 + 0.62 * len(columns)), 1.9 + 0.28 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    axes.imshow(values, cmap="Blues", vmin=low - 0.1 * (high - low), vmax=high + 0.25 * (high - low), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value > low + 0.8 * (high - low) else "#222222"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _draw_classes(folder: Path, file: str, results: Results, task: Task, column: Column) -> list[Drawn]:
    split = results.params.primary_split
    quantities = [quantity for quantity, _ in results.columns(task, View("", (column,)), split)]
    cells = {
        name: [results.shown(name, quantity).get("value", np.nan) for quantity in quantities]
        for name in results.estimates
    }
    rows = [name for name, values in cells.items() if name != CHANCE and not np.isnan(values).all()]
    if not quantities or not rows:
        return []
    title = f"{task.title}, {column.title}, {split} split"
    classes = [quantity.cls.replace("_", " ") for quantity in quantities]
    values = np.array([cells[name] for name in rows], dtype=float)
    draw_heatmap(folder / file, rows, classes, values, labelled(title, results))
    return [Drawn(file, title, (task.name,))]


def _draw_interval(axes: Axes, results: Results, name: str, quantity: Quantity, row: int) -> None:
    cell = results.shown(name, quantity)
    if "value" not in cell:
        return
    style = style_of(results, name)
    if "low" in cell:
        axes.plot([cell["low"], cell["high"]], [row, row], color=style.colour, linewidth=1.6, solid_capstyle="round")
    axes.plot([cell["value"]], [row], marker=style.marker, markersize=5, color=style.colour)


def _share_scales(panels: dict[Quantity, Axes]) -> None:
    """Give the panels of one metric one scale."""
    groups: dict[str, list[Axes]] = {}
    for quantity, axes in panels.items():
        groups.setdefault(quantity.metric.rsplit("/", 1)[-1], []).append(axes)
    for group in groups.values():
        limits = [axes.get_xlim() for axes in group]
        for axes in group:
            axes.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
