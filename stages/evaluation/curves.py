"""Curves of the results pages: a figure against the labels that were used, and recall against k."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.evaluation.cases import CHANCE
from stages.evaluation.drawing import labelled, save, style_of
from stages.evaluation.quantities import CLASSIFICATION, FINETUNING, RETRIEVAL, SEGMENTATION, Quantity
from stages.evaluation.tables import Results
from stages.evaluation.tasks import TASKS
from stages.evaluation.views import Column, Task, View

_MAX_K = 10

#: title and axis label of a panel, its quantities, and where each lies on the x axis
Panel = tuple[str, str, Sequence[Quantity], Callable[[Quantity], float]]


def draw_few_labels(folder: Path, results: Results) -> list[tuple[str, str, tuple[str, ...]]]:
    """Draw AUC of probe and fine-tuning against labels, and Dice against masks.

    Returns:
        File, caption and tasks of the figure; nothing where no task has two amounts of labels.
    """
    panels = []
    for task_name, metric, title in (
        (CLASSIFICATION, "linear_probe/auc", "probe AUC"),
        (FINETUNING, "fine_tuning/auc", "fine-tuning AUC"),
        (SEGMENTATION, "dice", "Dice"),
    ):
        task = next(task for task in TASKS if task.name == task_name)
        panels.append(_panel(results, task, Column(metric, title, amounts="shares"), f"share of {task.labels_name}"))
        panels.append(_panel(results, task, Column(metric, title, amounts="shots"), "patients of each label"))
    shown = [panel for panel in panels if len(panel[2]) > 1]
    if not shown:
        return []
    title = f"Few labels, {results.params.primary_split} split"
    _draw_curves(folder / "few_labels.png", results, shown, labelled(title, results), is_logarithmic=True)
    return [("few_labels.png", f"{title}; dashed: no pretraining", (CLASSIFICATION, FINETUNING, SEGMENTATION))]


def draw_recalls(folder: Path, results: Results) -> list[tuple[str, str, tuple[str, ...]]]:
    """Draw the recall of the query's own text, exact and without signals, against k.

    Returns:
        File, caption and task of the figure; nothing where there is no such recall.
    """
    panels: list[Panel] = []
    for direction, arrow in (("image_to_text", "image→text"), ("text_to_image", "text→image")):
        for kind in ("exact", "coarse"):
            at_k = {
                quantity: k
                for k in range(1, _MAX_K + 1)
                for quantity in results.known.get(
                    (RETRIEVAL, f"{direction}/{kind}_recall@{k}", results.params.primary_split), []
                )
                if quantity.is_whole
            }
            panels.append((f"{kind} R@k, {arrow}", "k", list(at_k), at_k.__getitem__))
    shown = [panel for panel in panels if len(panel[2]) > 1]
    if not shown:
        return []
    title = f"Recall of the query's own text, {results.params.primary_split} split"
    _draw_curves(folder / "recall.png", results, shown, labelled(title, results), is_logarithmic=False)
    return [("recall.png", f"{title}; dashed: no pretraining", (RETRIEVAL,))]


def _panel(results: Results, task: Task, column: Column, label: str) -> Panel:
    columns = results.columns(task, View("", (column,)), results.params.primary_split)
    quantities = [quantity for quantity, _ in columns]
    return column.title, label, quantities, lambda quantity: quantity.shots or quantity.label_fraction or math.nan


def _draw_curves(path: Path, results: Results, panels: Sequence[Panel], title: str, *, is_logarithmic: bool) -> None:
    """Draw panels side by side, one line a method; intervals are in the tables."""
    num_columns = 2 if len(panels) == 4 else min(len(panels), 3)
    num_rows = math.ceil(len(panels) / num_columns)
    figure = Figure(figsize=(2.2 + 3.2 * num_columns, 0.7 + 2.9 * num_rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    handles: dict[str, Line2D] = {}
    for axes, (heading, label, quantities, place) in zip(grid, panels, strict=False):
        for name in results.estimates:
            cells = [(place(quantity), results.shown(name, quantity)) for quantity in quantities]
            points = [(x, cell["value"]) for x, cell in cells if "value" in cell]
            if points:
                handles.setdefault(name, _draw_line(axes, results, name, points))
        if is_logarithmic:
            axes.set_xscale("log")
            ticks = sorted({place(quantity) for quantity in quantities})
            is_share = any(quantity.label_fraction is not None for quantity in quantities)
            axes.set_xticks(ticks, [f"{tick:.0%}" if is_share else f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(label)
        axes.set_title(heading, fontsize=10)
        axes.grid(color="#eeeeee", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    names = [name for name in results.estimates if name in handles]
    figure.legend([handles[name] for name in names], names, loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _draw_line(axes: Axes, results: Results, name: str, points: Sequence[tuple[float, float]]) -> Line2D:
    style = style_of(results, name)
    is_chance = name == CHANCE
    return axes.plot(
        *zip(*points, strict=True),
        color="#555555" if is_chance else style.colour,
        marker="" if is_chance else style.marker,
        linestyle=style.line,
        linewidth=0.8 if is_chance else 1.3,
        markersize=4,
    )[0]
