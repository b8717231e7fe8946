"""Phrases that a lexicon gives to models: definitions and names of findings, and questions about a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages.reports.lexicon import Lexicon, Question

#: phrases of the lexicon are in English
LANGUAGE = "en"


def phrase_rows(lexicon: Lexicon, languages: list[str]) -> list[dict[str, Any]]:
    """Rows of phrases.parquet; none if the encoder does not read English.

    Args:
        lexicon: of the body part.
        languages: that the sentence encoder reads.
    """
    if LANGUAGE not in languages:
        return []
    entries = [*_definitions(lexicon), *_names(lexicon)]
    for question in lexicon.questions.values():
        entries += _questions(lexicon, question)
    common = {"language": LANGUAGE, "is_held_out": False}
    return [{"phrase_id": number, **common, **entry} for number, entry in enumerate(entries)]


def _definitions(lexicon: Lexicon) -> Iterator[dict[str, Any]]:
    for code, finding in lexicon.findings.items():
        yield {"kind": "definition", "finding": code, "text": f"{finding.name[LANGUAGE]}: {finding.definition}"}


def _names(lexicon: Lexicon) -> Iterator[dict[str, Any]]:
    for code, finding in lexicon.findings.items():
        yield {"kind": "name", "finding": code, "text": finding.name[LANGUAGE]}


def _questions(lexicon: Lexicon, question: Question) -> Iterator[dict[str, Any]]:
    templates = (*question.trained, *question.held_out)
    for finding in question.findings:
        name = lexicon.findings[finding].name[LANGUAGE]
        words = {"finding": f"{question.articles.get(finding, '')} {name}".strip(), "the_finding": f"the {name}"}
        for sequence in question.sequences or (None,):
            for wording, template in enumerate(templates):
                yield {
                    "kind": "question",
                    "finding": finding,
                    "question": question.code,
                    "sequence": sequence,
                    "wording": wording,
                    "is_held_out": wording >= len(question.trained),
                    "text": template.format(**words, sequence=sequence),
                }
