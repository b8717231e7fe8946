"""The identifiers of a study as keyed hashes, so that its report can be scrubbed without the images.

What may stand in a report is cut into the token n-grams of ``artifacts.identity``; each is hashed
under the site key. Common words are left out, or scrubbing would eat the findings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stages.artifacts.identity import MAX_NGRAM, SiteKey, is_han, tokenise
from stages.imaging.dicom import Identity

_MIN_NAME_LETTERS = 3
_MIN_NUMBER_CHARACTERS = 4
_MIN_LONG_NUMBER = 5
_HAN_NGRAMS = range(2, 5)
# Two Han characters of an institution's name are too often a word of the report (中心, 肿瘤).
_HAN_INSTITUTION_NGRAMS = range(3, 5)
_TITLES = frozenset(
    {"dr", "prof", "professor", "mr", "mrs", "ms", "miss", "jr", "sr", "md", "phd", "von", "van", "der"}
)
_PLACE_WORDS = frozenset(
    ["hospital", "clinic", "clinics", "university", "medical", "medicine", "center", "centre", "institute", "health"]
    + ["radiology", "imaging", "diagnostic", "diagnostics", "department", "general", "regional", "national", "central"]
    + ["north", "south", "east", "west", "saint", "city", "county", "community", "college", "school", "children"]
    + ["brain", "head", "neuro", "neurology", "neurological", "cancer", "tumor", "tumour", "stroke", "heart", "spine"]
    + ["left", "right", "group", "care", "private", "public", "practice", "foundation", "trust", "the"]
)

_ADDRESS_WORDS = frozenset(
    ["street", "avenue", "building", "floor", "service", "services", "station", "emergency", "intensive", "inpatient"]
    + ["outpatient", "surgery", "neurosurgery", "rehabilitation", "magnetic", "resonance", "scanner", "division"]
)
_LINKS = frozenset(["of", "for", "and", "at", "in", "on", "de", "la", "du", "des", "der", "die", "und", "fuer", "für"])

Cut = Callable[[str], set[tuple[str, ...]]]


def identifier_rows(key: SiteKey, study_id: str, identities: Iterable[Identity]) -> list[dict[str, Any]]:
    """List the hashed identifiers of one study.

    Args:
        key: the site's key.
        study_id: id of the study.
        identities: what its headers say.

    Returns:
        Rows of ``identifiers.parquet``, each n-gram once, sorted by kind, length and hash.
    """
    # The series of a study say mostly the same.
    told = dict.fromkeys(one for identity in identities for one in _texts(identity))
    found: dict[tuple[str, ...], str] = {}
    for kind, value, cut in told:
        for ngram in cut(value):
            if len(ngram) <= MAX_NGRAM:
                found.setdefault(ngram, kind)
    rows = [
        {"study_id": study_id, "kind": kind, "length": len(ngram), "hmac": key.ngram_id(list(ngram))}
        for ngram, kind in found.items()
    ]
    return sorted(rows, key=lambda row: (row["kind"], row["length"], row["hmac"]))


def _texts(identity: Identity) -> Iterator[tuple[str, str, Cut]]:
    """Kind, text and how to cut it: first what has an attribute of its own."""
    texts: tuple[tuple[str, tuple[str, ...], Cut], ...] = (
        ("name", identity.patient_names, name_ngrams),
        ("other_name", identity.other_names, name_ngrams),
        ("patient_id", (identity.patient_id, *identity.other_ids), number_ngrams),
        ("accession", (identity.accession_number,), number_ngrams),
        ("institution", (identity.institution,), place_ngrams),
        ("birth_date", (identity.birth_date,), date_ngrams),
        ("study_date", (identity.study_date,), date_ngrams),
    )
    for kind, values, cut in texts:
        yield from ((kind, value, cut) for value in values)
    yield from ((kind, text, _CUTS[kind]) for kind, text in identity.others)


def name_ngrams(name: str) -> set[tuple[str, ...]]:
    """Cut a DICOM person name: each group whole in both orders, its longer parts, Han 2- to 4-grams."""
    ngrams: set[tuple[str, ...]] = set()
    for group in name.split("="):
        parts = [_words(part) for part in group.split("^")[:3]]
        parts = [part for part in parts if part]
        for ordered in (parts, parts[::-1], parts[1:] + parts[:1]):
            ngrams |= _whole([word for part in ordered for word in part])
            ngrams |= set(_han_ngrams([word for part in ordered for word in part], _HAN_NGRAMS))
        # Family and given name without the middle ones, in both orders.
        if len(parts) > 2:
            ngrams |= _whole(parts[0] + parts[1]) | _whole(parts[1] + parts[0])
        for part in parts:
            ngrams |= _whole(part) | {(word,) for word in part}
    return {ngram for ngram in ngrams if _is_telling(ngram)}


def number_ngrams(number: str) -> set[tuple[str, ...]]:
    """Cut an identification number: whole, and its longer runs of digits."""
    tokens = [token.text for token in tokenise(number)]
    ngrams = _whole(tokens) if sum(map(len, tokens)) >= _MIN_NUMBER_CHARACTERS else set()
    return ngrams | {(token,) for token in tokens if token.isdigit() and len(token) >= _MIN_NUMBER_CHARACTERS}


def long_number_ngrams(number: str) -> set[tuple[str, ...]]:
    """Cut a number of unknown meaning: only longer ones, since four digits can be an echo time."""
    tokens = [token.text for token in tokenise(number)]
    digits: set[tuple[str, ...]] = {(t,) for t in tokens if t.isdigit() and len(t) >= _MIN_LONG_NUMBER}
    if sum(map(len, tokens)) < _MIN_LONG_NUMBER or not any(map(str.isdigit, tokens)):
        return digits
    return digits | _whole(tokens, 1)


def place_ngrams(place: str) -> set[tuple[str, ...]]:
    """Cut the name of an institution: runs of at least two words, and single words that are its own."""
    tokens = [token.text for token in tokenise(place)]
    words = {(word,) for word in tokens if len(word) > 3 and _is_own(word)}
    return _telling_runs(tokens) | words | _whole(tokens, 2) | set(_han_ngrams(tokens, _HAN_INSTITUTION_NGRAMS))


def address_ngrams(address: str) -> set[tuple[str, ...]]:
    """Cut an address, a ward or a department: as a place, but single words only if they are long, and numbers."""
    tokens = [token.text for token in tokenise(address)]
    words = {(word,) for word in tokens if len(word) > 4 and _is_own(word) and word not in _ADDRESS_WORDS}
    han = set(_han_ngrams(tokens, _HAN_INSTITUTION_NGRAMS))
    return _telling_runs(tokens) | words | han | long_number_ngrams(address)


def _telling_runs(tokens: list[str]) -> set[tuple[str, ...]]:
    """Runs of words of which one is the place's own: "of the" stays readable."""
    runs = _windows([word for word in tokens if not is_han(word)], range(2, MAX_NGRAM + 1))
    return {run for run in runs if any(map(_is_own, run)) and len("".join(run)) > 4}


def _is_own(word: str) -> bool:
    return word.isalpha() and word not in _PLACE_WORDS and word not in _LINKS and not is_han(word)


def date_ngrams(date: str) -> set[tuple[str, ...]]:
    """Write a DICOM date in the tokens of its ISO form, and as one number."""
    match = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", date.strip())
    return {match.groups(), ("".join(match.groups()),)} if match else set()


_CUTS: dict[str, Cut] = {
    "name": name_ngrams,
    "other_name": name_ngrams,
    "number": long_number_ngrams,
    "place": address_ngrams,
    "date": date_ngrams,
}


def _words(text: str) -> list[str]:
    return [token.text for token in tokenise(text) if token.text not in _TITLES]


def _whole(tokens: list[str], min_tokens: int = 1) -> set[tuple[str, ...]]:
    """All tokens as one n-gram, or as overlapping ones where they are too many for one."""
    if len(tokens) <= MAX_NGRAM:
        return {tuple(tokens)} if len(tokens) >= min_tokens else set()
    return set(_windows(tokens, range(MAX_NGRAM, MAX_NGRAM + 1)))


def _windows(tokens: list[str], lengths: range) -> Iterator[tuple[str, ...]]:
    for length in lengths:
        for start in range(len(tokens) - length + 1):
            yield tuple(tokens[start : start + length])


def _han_ngrams(tokens: list[str], lengths: range) -> Iterator[tuple[str, ...]]:
    return (ngram for ngram in _windows(tokens, lengths) if all(map(is_han, ngram)))


def _is_telling(ngram: tuple[str, ...]) -> bool:
    if all(map(is_han, ngram)):
        return len(ngram) >= 2
    return len(ngram) > 1 and len("".join(ngram)) > _MIN_NAME_LETTERS or len(ngram[0]) >= _MIN_NAME_LETTERS
