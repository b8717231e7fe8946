"""The words of a lexicon as phrases of tokens, and what each of them means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from stages.reports.lexicon import Lexicon
from stages.reports.wordings import compounds, spellings

# Width-preserving, so that spans in the plain text hold in the report. A hyphen or slash joins
# words as a space does: "ring-enhancing", "T2/FLAIR".
_PLAIN = str.maketrans("-–—‐‑/’‘“”，：；（）！？％＋＊０１２３４５６７８９．", "      ''\"\",:;()!?%+*0123456789.")
# A dash between blanks ends a clause that denies: "no restricted diffusion – old infarct".
_CLAUSE_DASH = re.compile(r"(\b(?:no|not|without)\b[^-–—.,;:\n]*\s)[-–—](?=\s+[^\W\d])", re.IGNORECASE)
_MAX_ABBREVIATION = 5
#: After the code of a finding that a change makes only when said of one of its sites: "the hippocampus is small".
OF_SITE = " of site"


@dataclass(frozen=True)
class Entry:
    """What one phrase means.

    Attributes:
        kind: finding, change, subject, normality, site, side, sequence, signal, a cue …
        values: codes; several where the phrase says several ("frontoparietal").
        site: site that the phrase itself names ("meningioma" is extra-axial).
        assertion: assertion that the phrase itself makes ("non-enhancing").
        needs_capitals: matches only as written.
    """

    kind: str
    values: tuple[str, ...] = ()
    site: str | None = None
    assertion: str | None = None
    needs_capitals: bool = False


def plain(text: str) -> str:
    """Level out punctuation without moving a character."""
    return _CLAUSE_DASH.sub(r"\1,", text).translate(_PLAIN)


class Vocabulary:
    """Finds the phrases of a lexicon in the text of one language."""

    def __init__(self, lexicon: Lexicon, language: str, nlp: Language) -> None:
        # A trie: the state that a word leads to, 0 at the start of a phrase; and what phrases that end there mean.
        self._states: dict[tuple[int, str], int] = {}
        self._entries: dict[int, list[Entry]] = {}
        split = _Splitter(nlp)
        words = lexicon.languages[language]
        for term, entry in _entries(lexicon, language):
            capitals = term.isupper() and len(term) <= _MAX_ABBREVIATION and entry.kind != "sequence" and term.isascii()
            entry = Entry(entry.kind, entry.values, entry.site, entry.assertion, capitals)
            for variant in {term} if capitals else spellings(term, words, is_name=entry.kind not in _CUES):
                self._add(split(variant), entry)

    def find(self, doc: Doc) -> list[tuple[int, int, list[Entry]]]:
        """Find the phrases that together cover most, the fewest of them: first token, token after the last, meanings.

        Most cover rather than the longest phrase first: in 丘脑出血 ("thalamic haemorrhage") the longest
        is 脑出血 ("cerebral haemorrhage"), and the thalamus would be lost.
        """
        ending: dict[int, list[tuple[int, list[Entry]]]] = {}
        words = [token.lower_ for token in doc]
        for start in range(len(words)):
            state = 0
            for end, word in enumerate(words[start:], start + 1):
                following = self._states.get((state, word))
                if following is None:
                    break
                state = following
                entries = [e for e in self._entries.get(state, ()) if _is_written_so(e, doc[start:end])]
                if entries:
                    ending.setdefault(end, []).append((start, entries))
        return _best_cover(len(doc), ending)

    def _add(self, words: list[str], entry: Entry) -> None:
        state = 0
        for word in words:
            state = self._states.setdefault((state, word), len(self._states) + 1)
        known = self._entries.setdefault(state, [])
        if entry not in known:
            known.append(entry)


class _Splitter:
    """Splits terms into lower-case tokens as reports are split; words recur in many terms and are kept."""

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self._known: dict[str, list[str]] = {}

    def __call__(self, term: str) -> list[str]:
        return [token for word in plain(term).split() for token in self._tokens(word)]

    def _tokens(self, word: str) -> list[str]:
        if word not in self._known:
            self._known[word] = [token.lower_ for token in self._nlp.make_doc(word)]
        return self._known[word]


def _best_cover(
    num_tokens: int, ending: dict[int, list[tuple[int, list[Entry]]]]
) -> list[tuple[int, int, list[Entry]]]:
    """Choose phrases that do not overlap, by dynamic programming over the token where they end."""
    # tokens covered up to here, minus the number of phrases
    best = [(0, 0)]
    last: list[tuple[int, list[Entry]] | None] = [None]
    for end in range(1, num_tokens + 1):
        best.append(best[end - 1])
        last.append(None)
        for start, entries in ending.get(end, ()):
            score = (best[start][0] + end - start, best[start][1] - 1)
            if score > best[end]:
                best[end], last[end] = score, (start, entries)
    chosen, end = [], num_tokens
    while end:
        phrase = last[end]
        if phrase is not None:
            chosen.append((phrase[0], end, phrase[1]))
        end = phrase[0] if phrase is not None else end - 1
    return chosen[::-1]


def _is_written_so(entry: Entry, span: Span) -> bool:
    return not entry.needs_capitals or span.text.isupper()


def _entries(lexicon: Lexicon, language: str) -> Iterator[tuple[str, Entry]]:
    yield from _finding_entries(lexicon, language)
    yield from _site_entries(lexicon, language)
    words = lexicon.languages[language]
    for kind, group in (("side", "sides"), ("sequence", "sequences"), ("signal", "signals"), ("weak", "weak_signals")):
        for value, terms in words[group].items():
            yield from _each(terms, Entry(kind, (value,)))
    yield from _each(words["same_side"], Entry("same_side"))
    for pair in words["pairs"]:
        yield from _each(pair["terms"], Entry("pair", (pair["sequence"], pair["signal"])))
    for kind in ("lesions", "normality", "normal_alone", *_CUES):
        yield from _each(words.get(kind, ()), Entry(kind))
    yield from _each(lexicon.rules["ignored"][language], Entry("ignored"))
    yield from _each(lexicon.rules["other_anatomy"][language], Entry("other"))


_CUES = (
    "negation_before",
    "negation_after",
    "uncertainty_before",
    "uncertainty_after",
    "pseudo",
    "history_before",
    "history_after",
    "cause_before",
    "terminators",
    "beside",
    "extension",
)


def _finding_entries(lexicon: Lexicon, language: str) -> Iterator[tuple[str, Entry]]:
    subjects: dict[str, list[str]] = {}
    changes: dict[str, list[str]] = {}
    for code, finding in lexicon.findings.items():
        rules = finding.rules
        yield from _each(finding.terms[language], Entry("finding", (code,)))
        for group in rules.get("sited_terms", ()):
            yield from _each(group[language], Entry("finding", (code,), site=group["site"]))
        yield from _each(_words(rules, "absent_terms", language), Entry("finding", (code,), assertion="absent"))
        yield from _each(_words(rules, "normal", language), Entry("normality", (code,)))
        for term in _words(rules, "subjects", language):
            subjects.setdefault(term, []).append(code)
        for term in _words(rules, "site_changes", language):
            changes.setdefault(term, []).append(code + OF_SITE)
        for term in _words(rules, "changes", language):
            changes.setdefault(term, []).append(code)
    yield from ((term, Entry("subject", tuple(codes))) for term, codes in subjects.items())
    yield from ((term, Entry("change", tuple(codes))) for term, codes in changes.items())


def _site_entries(lexicon: Lexicon, language: str) -> Iterator[tuple[str, Entry]]:
    for code, site in lexicon.sites.items():
        yield from _each(site.terms[language], Entry("site", (code,)))
        yield from _speakers(site.terms[language], lexicon, (code,))
    for compound in lexicon.rules["compounds"]:
        sites = tuple(compound["sites"])
        yield from _each(compound[language], Entry("site", sites))
        yield from _speakers(compound[language], lexicon, sites)
    forms, heads = (lexicon.rules[part].get(language, {}) for part in ("combining_forms", "adjectives"))
    for term, sites in compounds(forms, heads):
        yield term, Entry("site", sites)
    yield from _each(lexicon.rules["white_matter"][language], Entry("white_matter"))


def _speakers(terms: Iterable[Any], lexicon: Lexicon, sites: tuple[str, ...]) -> Iterator[tuple[str, Entry]]:
    """Sites as subjects of the findings that can be said of them, if there are any."""
    rules = {code: finding.rules for code, finding in lexicon.findings.items()}
    codes = [code for code in rules if {*sites} & {*rules[code].get("subject_sites", ())}]
    codes += [code + OF_SITE for code in rules if {*sites} & {*rules[code].get("site_changes", {}).get("sites", ())}]
    return _each(terms if codes else (), Entry("subject", tuple(codes)))


def _words(rules: Mapping[str, Any], key: str, language: str) -> list[str]:
    return rules.get(key, {}).get(language, [])


def _each(terms: Iterable[Any], entry: Entry) -> Iterator[tuple[str, Entry]]:
    for term in terms:
        yield str(term), entry
