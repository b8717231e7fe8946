"""The page about the quality of a cohort: counts, histograms, and examples where they may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field, RootModel

from stages.evaluation import markdown
from stages.evaluation.quality_counts import Count
from stages.params import Params


class ShowQualityParams(Params):
    """Section ``show_quality``.

    Attributes:
        publish_examples: whether sentences and pictures of a real cohort may be shown.
        seed: of the choice of sentences.
        num_sentences: sentences shown with their statements.
        num_montages: studies shown as pictures.
        num_volumes: volumes of each sequence whose intensities are counted.
    """

    publish_examples: bool
    seed: int = Field(ge=0)
    num_sentences: int = Field(ge=0)
    num_montages: int = Field(ge=0)
    num_volumes: int = Field(ge=1)


class MinPatients(RootModel[int]):
    """Patients that a cell of a real cohort must be about to be shown."""


def write_page(
    counts: Sequence[Count],
    figures: Mapping[str, str],
    montages: Sequence[str],
    sentences: Sequence[Sequence[str]],
    *,
    cohort: str,
    smallest: int,
    withheld: str,
) -> str:
    """Compose the page in Markdown.

    Args:
        counts: of the cohort.
        figures: file and caption of each histogram.
        montages: files with pictures of studies.
        sentences: sentence and statements of each example.
        cohort: what the cohort is, as a sentence.
        smallest: counts of fewer patients are withheld.
        withheld: why there are no examples; empty if they are shown.
    """
    parts = ["# Quality of the cohort", f"{cohort} Counts as CSV: [`counts.csv`](counts.csv)."]
    abouts = dict.fromkeys(count.about for count in counts)
    for about in abouts:
        rows = [count.shown(smallest) for count in counts if count.about == about]
        has_patients = any(row["patients"] != "" for row in rows)
        columns = ["group", "count", *(["patients"] if has_patients else [])]
        cells = [[str(row[name]).replace("_", " ") for name in columns] for row in rows]
        parts += [f"## {about[0].upper()}{about[1:]}", markdown.write_table(columns, cells)]
    parts += ["## Histograms"] + [f"![{caption}]({file})" for file, caption in figures.items()]
    if withheld:
        return "\n\n".join([*parts, "## Examples", f"Nothing is shown: {withheld}."]) + "\n"
    parts += ["## Volumes", "Middle slices of a few studies at equal steps through the cohort."]
    parts += [" ".join(f"![study {number}]({file})" for number, file in enumerate(montages, start=1))]
    parts += [
        "## Sentences and what was read from them",
        "In bold where a statement stands; `no`: denied, `?`: in doubt. The same in colours: "
        "[`sentences.html`](sentences.html).",
        markdown.write_table(["sentence", "statements"], sentences),
    ]
    return "\n\n".join(parts) + "\n"
