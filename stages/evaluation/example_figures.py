"""Figures of examples: axial slices with lesion outlines, and the maps of several objectives over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stages.evaluation.examples import Example, ExampleParams, Examples, Overlay

GROUNDING, SALIENCY, PAGE = "grounding.png", "saliency.png", "README.md"
_WIDTH_INCHES, _HEIGHT_INCHES = 1.6, 2.3
_DPI = 110
_LESION_COLOUR, _MARK_COLOUR = "#39ff8f", "#35c7ff"
_OPACITY = 0.75
# Voxels are repeated before the outline is traced, so that it runs along their edges.
_OUTLINE_ZOOM = 8

_PAGE = """# Examples

{cohort}, {split} split, pretraining seed {seed}. A row is the first study, in the order of the reports, with a mask of
the finding: nothing that a method makes of it decided about the choice. Axial slice with most of the lesion, the
patient's right (R) on the left, the front up. Green: outline of the lesion mask on the volume grid.

![Similarity maps](grounding.png)

**Grounding.** Similarity of every patch to the finding's prompts (`evaluate_localisation.prompt_score`), in standard
deviations above the mean over the patches of the head. A patch is as large as one coloured square; nothing smaller can
be told apart.
Blue: the highest patch of the whole head, where it reaches this slice; "peak" says whether it is a patch of the
lesion.

![Saliency maps](saliency.png)

**Saliency.** How much the zero-shot score of the whole image, cos(v, positive) - cos(v, negative), falls when what
training images usually show at a place stands in for one patch (occlusion, all sequences at once). Red speaks for the
finding, blue against it; each panel has its own scale, written below it. Blue outline: the patch of the largest change.
"""


@dataclass(frozen=True)
class Style:
    """How the maps of a figure are coloured.

    Attributes:
        title: of the figure.
        colour_label: what the colours mean, with their range.
        colours: Matplotlib's name of the colours.
        limits: values at the ends of the colours.
        clear_below: magnitude below which a map is not drawn.
        opaque_from: magnitude from which it hides the image as far as it ever does.
    """

    title: str
    colour_label: str
    colours: str
    limits: tuple[float, float]
    clear_below: float
    opaque_from: float


_GROUNDING_STYLE = Style(
    title="Similarity of patches to the prompts of the finding",
    colour_label="similarity to the prompts, in standard deviations above the mean of the head (below 1: clear)",
    colours="YlOrRd",
    limits=(1.0, 4.0),
    clear_below=1.0,
    opaque_from=2.0,
)
_SALIENCY_STYLE = Style(
    title="Fall of the zero-shot score when a patch is replaced by what is usual there",
    colour_label="share of the largest change in the panel (red: the image there speaks for the finding)",
    colours="RdBu_r",
    limits=(-1.0, 1.0),
    clear_below=0.05,
    opaque_from=0.4,
)


def draw_all(folder: Path, examples: Examples, *, is_simulated: bool) -> None:
    """Write both figures."""
    cohort = " (simulated cohort)" if is_simulated else ""
    for file, overlays, style in (
        (GROUNDING, examples.grounding, _GROUNDING_STYLE),
        (SALIENCY, examples.saliency, _SALIENCY_STYLE),
    ):
        draw_examples(folder / file, examples.rows, overlays, replace(style, title=style.title + cohort))


def write_page(folder: Path, params: ExampleParams, *, missing: str, is_simulated: bool) -> None:
    """Say what the figures show, or why there are none; figures of an earlier run go then."""
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        for file in (GROUNDING, SALIENCY):
            (folder / file).unlink(missing_ok=True)
        text = f"# Examples\n\nNothing is shown: {missing}.\n"
    else:
        cohort = "Simulated cohort" if is_simulated else "Real cohort, published by `draw_saliency.publish_examples`"
        text = _PAGE.format(cohort=cohort, split=params.split, seed=params.seed)
    (folder / PAGE).write_text(text, encoding="utf-8")


def draw_examples(
    path: Path, examples: Sequence[Example], overlays: Mapping[str, Sequence[Overlay]], style: Style
) -> None:
    """Draw a row for each example: the image, then the map of each objective over it.

    Args:
        path: PNG to write.
        examples: rows.
        overlays: by objective, the map of each example.
        style: of the maps.
    """
    columns = ["image and lesion", *overlays]
    size = (0.4 + _WIDTH_INCHES * len(columns), 1.1 + _HEIGHT_INCHES * len(examples))
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(examples), len(columns), squeeze=False)
        for axes, column in zip(panels[0], columns, strict=True):
            axes.set_title(column, fontsize=9)
        for row, example in zip(panels, examples, strict=True):
            for axes in row:
                _draw_slice(axes, example)
            about = f"{example.case.finding.replace('_', ' ')}\n{example.case.volume_ml:.0f} ml, {example.sequence}"
            row[0].set_ylabel(about, fontsize=8)
        for number, maps in enumerate(overlays.values(), start=1):
            for axes, example, overlay in zip(panels[:, number], examples, maps, strict=True):
                _draw_overlay(axes, example, overlay, style)
        scale = ScalarMappable(Normalize(*style.limits), style.colours)
        end = "neither" if style.limits[0] < 0 else "max"
        bar = figure.colorbar(scale, ax=panels, location="bottom", shrink=0.5, pad=0.02, aspect=40, extend=end)
        bar.set_label(style.colour_label)
        figure.suptitle(style.title, fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the version of the library, so that an update alone changes nothing.
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def axial_plane(volume_X: np.ndarray, index: int) -> np.ndarray:
    """Axial slice as radiologists look at it: the patient's right on the left, the front up.

    Args:
        volume_X: axes R, A, S.
        index: of the slice along S.

    Returns:
        Rows from front to back, columns from the patient's right to left.
    """
    return volume_X[::-1, ::-1, index].T


def _draw_slice(axes: Axes, example: Example) -> None:
    plane = axial_plane(example.background_X, example.slice_index)
    bright = max(1.0, float(np.percentile(example.background_X, 99.5)))
    axes.imshow(plane, cmap="gray", vmin=0, vmax=bright, interpolation="bilinear", extent=_extent(example))
    _outline(axes, example, example.mask_X, _LESION_COLOUR)
    axes.text(0.03, 0.97, "R", color="white", fontsize=8, transform=axes.transAxes, va="top")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _draw_overlay(axes: Axes, example: Example, overlay: Overlay, style: Style) -> None:
    plane = np.nan_to_num(axial_plane(overlay.values_X, example.slice_index))
    strength = np.abs(plane) if style.limits[0] < 0 else plane
    alpha = np.where(strength >= style.clear_below, _OPACITY * np.clip(strength / style.opaque_from, 0, 1), 0.0)
    norm, extent = Normalize(*style.limits), _extent(example)
    axes.imshow(plane, cmap=style.colours, norm=norm, alpha=alpha, interpolation="nearest", extent=extent)
    _outline(axes, example, overlay.marked_X, _MARK_COLOUR)
    _outline(axes, example, example.mask_X, _LESION_COLOUR)
    axes.set_xlabel(overlay.caption, fontsize=7.5)


def _outline(axes: Axes, example: Example, mask_X: np.ndarray, colour: str) -> None:
    plane = axial_plane(mask_X, example.slice_index)
    if plane.any():
        # framed, so that an outline closes at the edge of the slice
        fine = np.kron(np.pad(plane, 1), np.ones((_OUTLINE_ZOOM, _OUTLINE_ZOOM)))
        width, height, _ = (edge * size for edge, size in zip(example.spacing_mm, mask_X.shape, strict=True))
        right, front, _ = example.spacing_mm
        extent = -right, width + right, height + front, -front
        axes.contour(fine, [0.5], colors=colour, linewidths=1.2, origin="upper", extent=extent)
        axes.set(xlim=(0, width), ylim=(height, 0))


def _extent(example: Example) -> tuple[float, float, float, float]:
    """Edges of a slice in mm, so that panels have the proportions of the head."""
    width, height, _ = (size * edge for size, edge in zip(example.mask_X.shape, example.spacing_mm, strict=True))
    return 0.0, width, height, 0.0
