"""Tell apart the acquisitions that share a series, so that no volume mixes two of them.

A scan that was broken off and started again, the images before and after a contrast agent, two inversion
times or two stacks may all come under one SeriesInstanceUID. Slices are split where a difference that the
headers name gives complete volumes, and nowhere else: numbers of acquisitions count slices on some scanners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stages.imaging import slices
from stages.imaging.dicom import Image
from stages.imaging.grouping import Group, Slice
from stages.imaging.ledger import SetAside
from stages.imaging.sequences import names_contrast_agent
from stages.imaging.settings import ConversionSettings

# More repeats than these are a time series, whose volumes belong together.
_MAX_ACQUISITIONS = 4
# Repetition times vary by less than this share within an acquisition.
_REPETITION_TIME_STEP = 0.05
# Instance numbers have at most twelve characters.
_NUMBER_WIDTH = 12

Labels = list[str]


@dataclass(slots=True)
class Arranged:
    """Slices in the order of their positions, the copies left out, and why they fill no volume, if so."""

    group: Group
    copies: list[Slice] = field(default_factory=list)
    reason: str | None = None


def arrange(group: Group, settings: ConversionSettings) -> list[Arranged]:
    """Order the slices of a group, as one volume or as one for each acquisition that it mixes.

    Args:
        group: slices of one series, orientation, echo, kind and diffusion weighting; mosaics are not ordered.
        settings: tolerance and least number of slices.

    Returns:
        The group, or its parts with a name of their own; none is lost.
    """
    whole = _arrange(group, settings)
    if group.first.is_mosaic:
        return [whole]
    for name, labels in _candidates(whole):
        parts = [_arrange(part, settings) for part in _split(whole.group, name, labels)]
        if len(parts) > 1 and _are_acquisitions(parts, whole):
            found = [final for part in parts for final in arrange(part.group, settings)]
            found[0].copies += whole.copies
            return found
    return [whole]


def _arrange(group: Group, settings: ConversionSettings) -> Arranged:
    kept, copies = slices.drop_duplicates(group.slices)
    arranged = Arranged(Group(group.study_uid, group.series_uid, group.parts, kept), copies)
    if not group.first.is_mosaic:
        arranged.group.slices = slices.sort_by_position(kept)
        try:
            slices.check_spacing(kept, settings)
        except SetAside as outcome:
            arranged.reason = outcome.reason
    return arranged


def _candidates(whole: Arranged) -> Iterator[tuple[str, Callable[[list[Slice]], Labels]]]:
    """Differences that may tell acquisitions apart, the plainest first."""
    yield "stack", _of_each(lambda image: image.stack)
    if whole.group.first.b_value_s_mm2 is not None:
        return
    yield "weighting", _by_weighting
    most = max(_num_at_positions(whole).values())
    if most > _MAX_ACQUISITIONS or (whole.reason is None and most < 2):
        return
    yield "acquisition", _of_each(lambda image: image.acquisition_number)
    yield "run", _by_runs(lambda image: image.moment[2:4])
    yield "run", _by_runs(lambda image: (image.moment[0].rjust(_NUMBER_WIDTH),))


def _split(group: Group, name: str, labels_of: Callable[[list[Slice]], Labels]) -> list[Group]:
    """Split a group by labels; the parts come in the order of their first slices."""
    labels = labels_of(group.slices)
    parts: dict[str, Group] = {}
    for label, item in zip(labels, group.slices, strict=True):
        named = Group(group.study_uid, group.series_uid, (*group.parts, f"{name} {label}"))
        parts.setdefault(label, named).slices.append(item)
    return list(parts.values())


def _are_acquisitions(parts: list[Arranged], whole: Arranged) -> bool:
    """Whether each part fills a volume, or one fills all of it and the others were broken off."""
    if all(part.reason is None for part in parts):
        return True
    num_positions = len(_num_at_positions(whole))
    return whole.reason is not None and any(
        part.reason is None and len(_num_at_positions(part)) == num_positions for part in parts
    )


def _num_at_positions(arranged: Arranged) -> Counter[float]:
    """How many slices lie at each position."""
    return Counter(round(float(mm), 1) for mm in slices.positions_mm(arranged.group.slices))


def _of_each(label_of: Callable[[Image], str]) -> Callable[[list[Slice]], Labels]:
    return lambda items: [label_of(item.image) for item in items]


def _by_weighting(items: list[Slice]) -> Labels:
    """Inversion time, flip angle, contrast agent or none, and repetition time to a twentieth."""
    weightings = [item.image.weighting for item in items]
    if len(set(weightings)) == 1:
        return ["" for _ in items]
    times = sorted({weighting.repetition_time_ms or 0.0 for weighting in weightings})
    level: dict[float, float] = {}
    for last, time in zip([None, *times[:-1]], times, strict=True):
        is_same = last is not None and time - last <= _REPETITION_TIME_STEP * time
        level[time] = level[last] if is_same and last is not None else time
    return [
        f"TI {weighting.inversion_time_ms} flip {weighting.flip_angle_deg} "
        f"agent {names_contrast_agent(weighting.contrast_agent)} TR {level[weighting.repetition_time_ms or 0.0]}"
        for weighting in weightings
    ]


def _by_runs(moment_of: Callable[[Image], tuple[str, ...]]) -> Callable[[list[Slice]], Labels]:
    """Number the runs of slices in the order of a moment: a new one begins where a position comes again.

    Slices at one position that share a moment have no order, hence no runs.
    """

    def label(items: list[Slice]) -> Labels:
        moments = [moment_of(item.image) for item in items]
        positions = [round(float(mm), 1) for mm in slices.positions_mm(items)]
        labels = ["" for _ in items]
        if len(set(zip(moments, positions, strict=True))) < len(items):
            return labels
        seen: set[float] = set()
        run = 1
        for number in sorted(range(len(items)), key=lambda n: (moments[n], positions[n])):
            if positions[number] in seen:
                run += 1
                seen = set()
            seen.add(positions[number])
            labels[number] = str(run)
        return labels

    return label
