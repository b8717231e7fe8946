"""Figures of the results page: methods side by side with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stages.evaluation.cases import CHANCE, METADATA
from stages.evaluation.estimates import CLASSIFICATION, MACRO, Quantity
from stages.evaluation.tables import NDCG, PROBE_AUC, RECALL, SUPERVISED_AUC, ZERO_SHOT_AUC, Results

METHOD_COLOUR, REFERENCE_COLOUR = "#1f5a8a", "#9a9a9a"
CLASS_COLOURS = ("#1f5a8a", "#d1762a", "#3a8f5c", "#8a4f9e", "#b03a48", "#6b6b6b", "#c2a83e", "#4fa3b8")


def draw_forest(
    path: Path, results: Results, quantities: Sequence[tuple[Quantity, str]], title: str, *, is_one_scale: bool
) -> None:
    """Draw one panel per quantity, one row per method: value and interval, chance as a line.

    Args:
        path: PNG to write.
        results: of every method.
        quantities: what to show, with the axis label of each panel.
        title: of the whole figure.
        is_one_scale: whether the panels share their axis.
    """
    names = [name for name in results.estimates if name != CHANCE and _has_any(results, name, quantities)]
    figure = Figure(figsize=(2.2 + 2.6 * len(quantities), 1.4 + 0.32 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(quantities), sharex=is_one_scale, sharey=True, squeeze=False)[0]
    for axes, (quantity, label) in zip(panels, quantities, strict=True):
        for row, name in enumerate(names):
            _draw_interval(axes, results, name, quantity, row)
        _draw_chance(axes, results, quantity)
        axes.set_xlabel(label)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(_labelled(title, results), fontsize=11)
    _save(figure, path)


def draw_class_bars(path: Path, results: Results, metric: str, fraction: float | None, title: str) -> None:
    """Draw the AUC of each class in the primary split as one group of bars, one bar per method."""
    macro = Quantity(CLASSIFICATION, metric, results.params.primary_split, MACRO, fraction)
    names = [name for name, estimates in results.estimates.items() if name != CHANCE and macro in estimates]
    classes = sorted(
        {
            quantity.cls
            for name in names
            for quantity in results.estimates[name]
            if quantity != macro and replace(quantity, cls=MACRO) == macro
        }
    )
    figure = Figure(figsize=(max(6.0, 1.5 + 0.13 * len(names) * len(classes)), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    width = 0.8 / max(len(names), 1)
    for position, name in enumerate(names):
        cells = [results.cell(results.estimates[name][replace(macro, cls=cls)]) for cls in classes]
        places = np.arange(len(classes)) + (position - 0.5 * (len(names) - 1)) * width
        values = np.array([cell.get("value", np.nan) for cell in cells], dtype=float)
        errors = np.array([[cell.get(side, np.nan) for cell in cells] for side in ("low", "high")], dtype=float)
        distances = np.clip(np.abs(errors - values), 0, None)
        colour = _colour(results, name)
        style = {"elinewidth": 0.6, "ecolor": "#555555"}
        axes.bar(places, values, width, yerr=distances, label=name, color=colour, error_kw=style)
    axes.axhline(0.5, color="#555555", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(classes)), [cls.replace("_", " ") for cls in classes], rotation=40, ha="right")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("AUC")
    axes.spines[["top", "right"]].set_visible(False)
    if names:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    axes.set_title(_labelled(title, results), fontsize=11)
    _save(figure, path)


def draw_all(folder: Path, results: Results) -> list[tuple[str, str]]:
    """Draw every figure of the page.

    Returns:
        File name and caption of each.
    """
    mpl.rcParams["font.size"] = 9
    split = results.params.primary_split
    retrieval = [(NDCG, "nDCG@10"), (RECALL, "R@10")]
    probes = [
        (replace(PROBE_AUC, label_fraction=fraction), f"probe AUC, {fraction:.0%} of labels")
        for fraction in results.label_fractions
    ]
    supervised = (
        [(SUPERVISED_AUC, "supervised AUC")] if _is_known(results, replace(SUPERVISED_AUC, split=split)) else []
    )
    classification = [(ZERO_SHOT_AUC, "zero-shot AUC"), *probes, *supervised]
    drawn = []
    for file, title, quantities in (
        ("retrieval.png", "Retrieval, image to text", retrieval),
        ("classification.png", "Classification, macro average", classification),
    ):
        here = [(replace(quantity, split=split), label) for quantity, label in quantities]
        draw_forest(folder / file, results, here, f"{title}, {split} split", is_one_scale=quantities is classification)
        drawn.append((file, f"{title}, {split} split; dashed: chance"))
    for file, metric, fraction, title in (
        ("zero_shot_by_class.png", "zero_shot/auc", None, "Zero-shot AUC by class"),
        ("probe_by_class.png", "linear_probe/auc", max(results.label_fractions, default=None), "Probe AUC by class"),
    ):
        draw_class_bars(folder / file, results, metric, fraction, f"{title}, {split} split")
        drawn.append((file, f"{title}, {split} split"))
    return drawn


def _colour(results: Results, name: str) -> str:
    """Colour of a method, the same in every figure, whichever methods it shows."""
    if name not in results.methods:
        return REFERENCE_COLOUR
    return CLASS_COLOURS[results.methods.index(name) % len(CLASS_COLOURS)]


def _draw_interval(axes: Axes, results: Results, name: str, quantity: Quantity, row: int) -> None:
    estimate = results.estimates[name].get(quantity)
    cell = results.cell(estimate) if estimate else {}
    if "value" not in cell:
        return
    colour = REFERENCE_COLOUR if name == METADATA else METHOD_COLOUR
    if "low" in cell:
        axes.plot([cell["low"], cell["high"]], [row, row], color=colour, linewidth=1.6, solid_capstyle="round")
    axes.plot([cell["value"]], [row], marker="o", markersize=5, color=colour)


def _draw_chance(axes: Axes, results: Results, quantity: Quantity) -> None:
    estimate = results.estimates.get(CHANCE, {}).get(quantity)
    cell = results.cell(estimate) if estimate else {}
    if "value" in cell:
        axes.axvline(cell["value"], color="#555555", linewidth=0.8, linestyle="--")


def _has_any(results: Results, name: str, quantities: Sequence[tuple[Quantity, str]]) -> bool:
    return any(quantity in results.estimates[name] for quantity, _ in quantities)


def _is_known(results: Results, quantity: Quantity) -> bool:
    return any(quantity in estimates for estimates in results.estimates.values())


def _labelled(title: str, results: Results) -> str:
    return f"{title} (simulated cohort)" if results.is_simulated else title


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of the library, so that an update alone changes nothing.
    figure.savefig(path, dpi=130, metadata={"Software": None})
