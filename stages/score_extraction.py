"""Score extraction on annotated passages: precision, recall and F1 by language, finding and assertion."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import tables
from stages.artifacts.extraction_tables import SCORES
from stages.params import DEFAULT_PATH, Params, load
from stages.reports.extraction import ExtractionParams, reader_of
from stages.reports.gold import load_gold, score, summarise, tally
from stages.reports.lexicon import Lexicon

logger = logging.getLogger(__name__)


class ScoringParams(Params):
    """Parameters of ``score_extraction``."""

    #: bootstrap resamples of the passages behind each interval
    num_resamples: int
    seed: int


def main(
    gold: Annotated[Path, typer.Option(help="Folder of annotated passages, seen_*.jsonl and held_out_*.jsonl.")],
    out: Annotated[Path, typer.Option(help="Table of scores to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="The scores without their counts (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Read every passage as a report is read, and compare with its annotation."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    extraction = load("extract_findings", ExtractionParams, params)
    settings = load("score_extraction", ScoringParams, params)
    passages = load_gold(gold, Lexicon.load(extraction.lexicon))
    reader = reader_of(extraction.lexicon, extraction.spacy_model)
    tallies = []
    for number, passage in enumerate(passages):
        sections = reader.sections(passage.text, passage.language)
        tallies += tally(number, passage, reader.statements(sections, passage.language))
    rows = score(passages, tallies, settings.num_resamples, settings.seed)
    tables.write(out, tables.from_rows(SCORES, rows), SCORES)
    summary = summarise(rows)
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for part, languages in summary.items():
        shown = ", ".join(f"{language} {figures['statements']['f1']:.3f}" for language, figures in languages.items())
        logger.info("score_extraction: F1 of %s passages: %s", part, shown)


if __name__ == "__main__":
    typer.run(main)
