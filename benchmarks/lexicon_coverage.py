"""List what reports say and the lexicon does not know, by frequency: what to add to it next.

Counts the words of the sections that report findings which no phrase of the lexicon covers, alone and in pairs of
neighbours (Chinese: in runs), over the scrubbed reports that extract_findings wrote. Words of fewer than
``--min-studies`` studies are left out, so that a name which scrubbing missed does not show. For use on site all the
same: who signs every report is in many studies.

    python benchmarks/lexicon_coverage.py --reports data/reports --top 100
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.artifacts import tables
from stages.artifacts.report_tables import REPORTS
from stages.reports.extraction import ExtractionParams
from stages.reports.lexicon import Lexicon
from stages.reports.sections import REPORTED
from stages.reports.sentences import Sentence, SentenceReader

_LONGEST_RUN = 6


def main(
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet.")],
    top: Annotated[int, typer.Option(help="How many to print.")] = 100,
    min_studies: Annotated[int, typer.Option(help="Studies that a word must stand in to be printed.")] = 5,
    params_path: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Print the share of words that are covered, and the others by the number of studies that hold them."""
    settings = params.load("extract_findings", ExtractionParams, params_path)
    lexicon = Lexicon.load(settings.lexicon)
    readers = {language: SentenceReader(lexicon, language, settings.spacy_model) for language in lexicon.languages}
    studies: dict[str, set[str]] = defaultdict(set)
    num_words = num_known = 0
    for row in tables.read(reports / "reports.parquet", REPORTS).to_pylist():
        language = row["language"]
        for section in row["sections"]:
            if section["name"] not in REPORTED:
                continue
            for sentence in readers[language].read(section["text"]):
                is_known = covered(sentence)
                is_word = [any(map(str.isalnum, word)) for word in sentence.words]
                num_words += sum(is_word)
                num_known += sum(map(bool.__and__, is_known, is_word))
                for phrase in gaps(sentence, is_known, " " if language == "en" else ""):
                    studies[phrase].add(row["study_id"])
    print(f"{num_known / max(num_words, 1):.1%} of {num_words} words are covered")
    counts = {phrase: len(holders) for phrase, holders in studies.items() if len(holders) >= min_studies}
    for phrase in sorted(counts, key=lambda phrase: (-counts[phrase], phrase))[:top]:
        print(f"{counts[phrase]:6d}  {phrase}")


def covered(sentence: Sentence) -> list[bool]:
    """Of each word of a sentence, whether a phrase of the lexicon covers it."""
    known = {index for mention in sentence.mentions for index in range(mention.start, mention.end)}
    return [index in known for index in range(len(sentence.words))]


def gaps(sentence: Sentence, is_known: list[bool], blank: str) -> Iterator[str]:
    """The words between phrases: English words and pairs of neighbours, Chinese runs of characters."""
    is_open = [not known and any(map(str.isalpha, word)) for word, known in zip(sentence.words, is_known, strict=True)]
    position = 0
    for is_gap, run in groupby(is_open):
        words = sentence.words[position : position + len(list(run))]
        position += len(words)
        if is_gap and not blank and len(words) <= _LONGEST_RUN:
            yield "".join(words)
        elif is_gap and blank:
            yield from words
            yield from map(blank.join, zip(words, words[1:], strict=False))


if __name__ == "__main__":
    typer.run(main)
