"""A page of reports that were written about a few studies, beside the studies' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.evaluation.quantities import DECODER, NEAREST, OWN
from stages.params import Params

_WRITERS = {DECODER: "decoder", NEAREST: "most similar training image", OWN: "its own decoder"}
_INTRODUCTION = """# Generated reports

{cohort}, {split} split, pretraining seed {seed}. Studies lie evenly over the split, in the order of the reports:
nothing that a method made of them decided about the choice. `decoder` is the decoder that all methods share, in the
words of training reports; "most similar training image" is the report of that study as it stands. What it is worth:
[report generation](tasks/generation.md)."""


class ShowReportsParams(Params):
    """Section ``show_reports``.

    Attributes:
        publish_examples: whether texts of a real cohort may be shown.
        seed: of the pretraining.
        split: split that the studies are of.
        num_studies: how many are shown.
    """

    publish_examples: bool
    seed: int
    split: str
    num_studies: int


def write_page(
    texts: Mapping[str, Sequence[Mapping[str, Any]]],
    references: Sequence[str],
    params: ShowReportsParams,
    *,
    is_simulated: bool,
) -> str:
    """Compose the page in Markdown.

    Args:
        texts: by objective, its rows of ``GENERATED_TEXTS``.
        references: English wording of each report, by ``text_id``.
        params: of the page.
        is_simulated: whether the cohort is.
    """
    cohort = "Simulated cohort" if is_simulated else "Real cohort, published by `show_reports.publish_examples`"
    parts = [_INTRODUCTION.format(cohort=cohort, split=params.split, seed=params.seed)]
    shown = {
        name: [row for row in rows if row["seed"] == params.seed and row["split"] == params.split]
        for name, rows in texts.items()
    }
    for number, key in enumerate(_choose(shown, params.num_studies), start=1):
        own = references[key[2]]
        parts += [f"## Study {number}", "**Own report**", _quote(own)]
        for name, rows in shown.items():
            for row in rows:
                if _key(row) == key:
                    parts += [f"**`{name}`, {_WRITERS.get(row['kind'], row['kind'])}**", _quote(row["text"])]
    return "\n\n".join(parts) + "\n"


def _choose(shown: Mapping[str, Sequence[Mapping[str, Any]]], count: int) -> list[tuple[Any, ...]]:
    """Studies (and sequences, where an image is one) evenly over those that were written about."""
    keys = list(dict.fromkeys(_key(row) for rows in shown.values() for row in rows))
    places = np.unique(np.linspace(0, len(keys) - 1, min(count, len(keys))).round().astype(int)) if keys else []
    return [keys[place] for place in places]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["study_id"], row["sequence"], row["text_id"]


def _quote(text: str) -> str:
    return "\n".join(f"> {line}  " for line in text.splitlines()) or "> (nothing)"
