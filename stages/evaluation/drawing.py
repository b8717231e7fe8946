"""What all figures of the results share: one colour and marker a method, titles, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from stages.evaluation.tables import Results

_COLOURS = (
    "#1f5a8a", "#d1762a", "#3a8f5c", "#8a4f9e", "#b03a48", "#c2a83e", "#4fa3b8",
    "#7a4b2a", "#e07fa8", "#2b2f77", "#8fae3c", "#c23b9e", "#0f6b66", "#a99be0",
)  # fmt: skip
_MARKERS = "osD^vPX<>"
_REFERENCE_COLOUR = "#8a8a8a"


@dataclass(frozen=True)
class Style:
    """How a method is drawn, the same in every figure, whichever methods it shows."""

    colour: str
    marker: str
    line: str


def style_of(results: Results, name: str) -> Style:
    """Look up how a method is drawn: by its place among the objectives; reference rows are grey."""
    if name not in results.methods:
        return Style(_REFERENCE_COLOUR, "o", "--")
    number = results.methods.index(name)
    return Style(_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)], "-")


def labelled(title: str, results: Results) -> str:
    """Say in a title that the cohort is simulated, where it is."""
    return f"{title} (simulated cohort)" if results.is_simulated else title


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without the version of the library, so that an update alone changes nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
