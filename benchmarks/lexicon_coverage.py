"""List what reports say and the lexicon does not know, by frequency: what to add to it next.

Counts the words of the sections that report findings which no phrase of the lexicon covers, alone and in pairs of
neighbours (Chinese: in runs), over all reports of a file.

    python benchmarks/lexicon_coverage.py --reports reports.csv --top 100
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from stages import params
from stages.reports.extraction import ExtractionParams
from stages.reports.inputs import read_reports
from stages.reports.lexicon import Lexicon
from stages.reports.sections import REPORTED, SectionReader, detect_language
from stages.reports.sentences import Sentence, SentenceReader
from stages.reports.sources.base import Columns, Source

_LONGEST_RUN = 6


def main(
    reports: Annotated[Path, typer.Option(help="Report export: a file, or a folder of files of one format.")],
    accession_column: Annotated[str, typer.Option(help="Column of the accession number.")] = "accession_number",
    text_column: Annotated[list[str] | None, typer.Option(help="Column of the text; may be repeated.")] = None,
    top: Annotated[int, typer.Option(help="How many to print.")] = 100,
    params_path: Annotated[Path, typer.Option("--params", help="Parameter file.")] = params.DEFAULT_PATH,
) -> None:
    """Print the share of words that are covered, and the others by frequency."""
    settings = params.load("extract_findings", ExtractionParams, params_path)
    columns = Columns(accession_number=accession_column, report_text=tuple(text_column or ["report_text"]))
    lexicon = Lexicon.load(settings.lexicon)
    sections = SectionReader(lexicon)
    readers = {language: SentenceReader(lexicon, language, settings.spacy_model) for language in lexicon.languages}
    unknown: Counter[str] = Counter()
    num_words = num_known = 0
    for raw in read_reports(reports, columns, Source()):
        language = detect_language(raw.text or "")
        for section in sections.read(raw.text or "", language):
            if section.name not in REPORTED:
                continue
            for sentence in readers[language].read(section.text):
                is_known = covered(sentence)
                is_word = [any(map(str.isalnum, word)) for word in sentence.words]
                num_words += sum(is_word)
                num_known += sum(map(bool.__and__, is_known, is_word))
                unknown.update(gaps(sentence, is_known, " " if language == "en" else ""))
    print(f"{num_known / max(num_words, 1):.1%} of {num_words} words are covered")
    for phrase, count in unknown.most_common(top):
        print(f"{count:6d}  {phrase}")


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
