"""Histograms of voxel spacing, intensities and image quality, by sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stages.artifacts.imaging_tables import SEQUENCES
from stages.evaluation.cohort import rows_of
from stages.imaging.shards import VolumeStore

_NUM_BINS = 24
_NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_COLOURS = mpl.colormaps["tab10"](range(10))
_VOXEL_VALUES = 256


@dataclass(frozen=True)
class Sample:
    """Values of one sequence, and whose they are."""

    values: np.ndarray
    patients: Sequence[str]


@dataclass(frozen=True)
class Panel:
    """One histogram: label of its axis, and a sample for each sequence."""

    label: str
    samples: Mapping[str, Sample]


def spacing_panels(series: pa.Table) -> list[Panel]:
    """In-plane spacing, distance of slices and number of slices of every converted series."""
    rows = list(rows_of(series, "sequence", "patient_id", "spacing_mm", "num_slices"))
    measures = {
        "in-plane spacing, mm": [max(spacing[:2]) for _, _, spacing, _ in rows],
        "distance of slices, mm": [spacing[2] for _, _, spacing, _ in rows],
        "slices": [num for _, _, _, num in rows],
    }
    about = [(sequence, patient) for sequence, patient, _, _ in rows]
    return [Panel(label, _by_sequence(about, values)) for label, values in measures.items()]


def measure_panels(volumes: pa.Table) -> list[Panel]:
    """Signal to noise, coverage of the grid and tilt of every volume."""
    labels = {"signal_to_noise": "signal over noise", "coverage": "share of the grid covered", "tilt_deg": "tilt, °"}
    about = list(rows_of(volumes, "sequence", "patient_id"))
    return [Panel(label, _by_sequence(about, volumes[name].to_pylist())) for name, label in labels.items()]


def intensity_panel(store: VolumeStore, num_volumes: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, int]]:
    """Count voxel values of volumes in use, at equal steps through the table.

    Args:
        store: the volumes.
        num_volumes: at most so many of each sequence are read.

    Returns:
        Edges of the bins, shape (33,); by sequence the share of the voxels that are not 0 in each bin; and by
        sequence the number of patients.
    """
    chosen: dict[str, list[tuple[str, str]]] = {}
    for sequence, series_id, patient, is_selected in rows_of(
        store.table, "sequence", "series_id", "patient_id", "is_selected"
    ):
        if is_selected:
            chosen.setdefault(sequence, []).append((series_id, patient))
    edges = np.linspace(0, _VOXEL_VALUES, 33)
    shares, patients = {}, {}
    for sequence in sorted(chosen, key=SEQUENCES.index):
        members = chosen[sequence][:: -(-len(chosen[sequence]) // max(1, num_volumes))]
        counts = sum(np.bincount(store.read(name).ravel(), minlength=_VOXEL_VALUES) for name, _ in members)
        counts = np.where(np.arange(_VOXEL_VALUES) == 0, 0, counts).reshape(32, -1).sum(axis=1)
        shares[sequence] = counts / max(1, counts.sum())
        patients[sequence] = len({patient for _, patient in members})
    return edges, shares, patients


def draw_panels(path: Path, panels: Sequence[Panel], title: str, smallest: int) -> None:
    """Draw histograms side by side, a line for each sequence.

    Args:
        path: PNG to write.
        panels: what to show.
        title: of the figure.
        smallest: bins of fewer patients are merged with their neighbours; 0 shows all as they are.
    """
    figure, grid = _figure(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        edges = nice_edges(np.concatenate([sample.values for sample in panel.samples.values()] or [np.zeros(0)]))
        for sequence, sample in panel.samples.items():
            shares, kept = merged_histogram(sample, edges, smallest)
            if len(kept) > 1:
                # Of merged bins the height is the mean share of their parts.
                heights = shares / np.maximum(1, np.round(np.diff(kept) / (edges[1] - edges[0])))
                axes.stairs(heights, kept, color=_colour(sequence), label=sequence, linewidth=1.4)
        _finish(axes, panel.label)
    _save(figure, grid, path, title)


def draw_intensities(path: Path, store: VolumeStore, title: str, num_volumes: int, smallest: int) -> None:
    """Draw the distribution of voxel values of each sequence with at least ``smallest`` patients."""
    edges, shares, patients = intensity_panel(store, num_volumes)
    figure, grid = _figure(1)
    for sequence, heights in shares.items():
        if patients[sequence] >= smallest:
            grid[0].stairs(heights, edges, color=_colour(sequence), label=sequence, linewidth=1.4)
    _finish(grid[0], "voxel value of the prepared volume, 0 left out")
    _save(figure, grid, path, title)


def nice_edges(values: np.ndarray) -> np.ndarray:
    """Edges of about 24 equal bins at round numbers, so that no edge tells a patient's value."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    # Values that are nearly equal share a bin that does not tell them.
    raw = max((high - low) / _NUM_BINS, 1e-2 * (max(abs(low), abs(high)) or 1.0))
    if known.size and (known == np.round(known)).all():
        raw = max(raw, 1.0)
    scale = 10.0 ** np.floor(np.log10(raw))
    step = scale * next(nice for nice in _NICE_STEPS if nice * scale >= raw * (1 - 1e-9))
    first = np.floor(low / step - 1e-9)
    return np.arange(first, np.floor(high / step + 1e-9) + 2) * step


def merged_histogram(sample: Sample, edges: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the values in each bin, neighbours merged until every bin holds enough patients.

    Args:
        sample: values and whose they are.
        edges: of the bins, shape (N + 1,).
        smallest: patients that a bin must hold; 0 merges nothing.

    Returns:
        Shares of the bins and their edges; no bin and one edge if there are too few patients at all.
    """
    places = np.clip(np.searchsorted(edges, sample.values, side="right") - 1, 0, len(edges) - 2)
    members: list[set[str]] = [set() for _ in edges[1:]]
    for place, patient in zip(places.tolist(), sample.patients, strict=True):
        members[place].add(patient)
    counts = np.bincount(places, minlength=len(members))
    starts, gathered = [0], set()
    for place, patients in enumerate(members):
        gathered |= patients
        if len(gathered) >= smallest:
            starts.append(place + 1)
            gathered = set()
    if starts[-1] < len(members):
        # What is left over is too small for a bin of its own.
        starts = [*starts[:-1], len(members)] if len(starts) > 1 else [0]
    shares = np.array([counts[a:b].sum() for a, b in zip(starts, starts[1:], strict=False)], dtype=float)
    return shares / max(1, len(sample.values)), edges[starts]


def _by_sequence(about: Sequence[tuple[str, str]], values: Sequence[float | None]) -> dict[str, Sample]:
    found: dict[str, list[tuple[float, str]]] = {}
    for (sequence, patient), value in zip(about, values, strict=True):
        if value is not None and np.isfinite(value):
            found.setdefault(sequence, []).append((float(value), patient))
    return {
        sequence: Sample(np.array([v for v, _ in found[sequence]]), [patient for _, patient in found[sequence]])
        for sequence in sorted(found, key=SEQUENCES.index)
    }


def _figure(num_panels: int) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(1.2 + 3.4 * num_panels, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, num_panels, squeeze=False)[0]


def _finish(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0)


def _save(figure: Figure, grid: np.ndarray, path: Path, title: str) -> None:
    grid[0].set_ylabel("share")
    handles = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    ordered = sorted(handles, key=SEQUENCES.index)
    if ordered:
        figure.legend([handles[name] for name in ordered], ordered, loc="outside right center", frameon=False)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of the library, so that an update alone changes nothing.
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _colour(sequence: str) -> np.ndarray:
    return _COLOURS[SEQUENCES.index(sequence) % len(_COLOURS)]
