"""What a body part's reports may say: codes, terms, prompts, renderings. Plain data, no language model.

A lexicon is a folder of YAML files below ``lexicon/``; every code is declared there, none in code.
What belongs to a language rather than a body part (sides, negation, headers) is in ``languages/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.reports.wordings import alternatives

_FOLDER = Path(__file__).with_suffix("")
LANGUAGES = ("en", "zh")

Terms = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Finding:
    """One finding code."""

    code: str
    #: name by language
    name: Mapping[str, str]
    #: one sentence that tells what it looks like
    definition: str
    #: site of a statement that names none
    default_site: str | None
    #: words that stand for it, by language
    terms: Terms
    #: everything else that its block says, for the extractor
    rules: Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    """One anatomical site."""

    code: str
    name: Mapping[str, str]
    #: English name when both sides are meant
    plural: str
    #: region that holds it; sites of one parent are related
    parent: str | None
    terms: Terms
    rules: Mapping[str, Any]


@dataclass(frozen=True)
class Prompts:
    """English sentences to query a finding with."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    queries: tuple[str, ...]

    def by_polarity(self) -> dict[str, tuple[str, ...]]:
        """Sentences by the polarity that ``prompts.parquet`` gives them."""
        return {"positive": self.positive, "negative": self.negative, "query": self.queries}


@dataclass(frozen=True)
class Question:
    """One kind of question about a study, as English templates."""

    code: str
    #: findings that it asks about
    findings: tuple[str, ...]
    #: sequences that it asks about, empty where it names none
    sequences: tuple[str, ...]
    #: wordings that answering is learned with
    trained: tuple[str, ...]
    #: and those that it is tested with
    held_out: tuple[str, ...]
    #: English article of a finding, for those that take one
    articles: Mapping[str, str]


@dataclass(frozen=True)
class Lexicon:
    """Codes and words of one body part.

    Attributes:
        name: its folder.
        findings: by code, in declared order.
        sites: by code, in declared order.
        prompts: by finding code.
        questions: by kind, in declared order.
        renderings: how a statement becomes an English sentence.
        languages: what belongs to each language, by ISO 639-1 code.
        examinations: words that tell the examination of this body part from others.
        rules: terms that tie no single finding (ignored phrases, compound sites …).
    """

    name: str
    findings: Mapping[str, Finding]
    sites: Mapping[str, Site]
    prompts: Mapping[str, Prompts]
    questions: Mapping[str, Question]
    renderings: Mapping[str, Any]
    languages: Mapping[str, Mapping[str, Any]]
    examinations: Mapping[str, Any]
    rules: Mapping[str, Any]

    @classmethod
    def load(cls, name: str) -> Lexicon:
        """Read the lexicon of that name.

        Raises:
            ValueError: if there is no such lexicon, or a block names an unknown code.
        """
        if not (_FOLDER / name / "findings.yaml").is_file():
            known = sorted(path.parent.name for path in _FOLDER.glob("*/findings.yaml"))
            raise ValueError(f"lexicon {name!r}: no such folder, expected one of {known}; set extract_findings.lexicon")
        return _load(name)

    def parents(self, site: str) -> tuple[str, ...]:
        """Name the regions that hold a site, nearest first."""
        parent = self.sites[site].parent
        return () if parent is None else (parent,)

    def vocabulary(self) -> set[str]:
        """Every term of findings, sites and anatomy, in all languages."""
        findings = (finding.rules for finding in self.findings.values())
        sites = (site.rules for site in self.sites.values())
        return {str(term) for owner in (*findings, *sites, self.rules) for term in _strings(owner, is_terms=False)}

    def render(self, statement: Mapping[str, Any]) -> str:
        """Say a statement as an English sentence.

        Args:
            statement: a row of ``findings.parquet``: ``finding`` and ``assertion``, and where known
                ``site``, ``side``, ``signals`` and ``size_mm``. Missing keys are nulls.
        """
        finding = statement["finding"]
        forms = {**self.renderings["default"], **self.renderings.get(finding, {})}
        size = statement.get("size_mm")
        words = {
            "finding": self.findings[finding].name["en"],
            "place": self._place(statement.get("site"), statement.get("side")),
            "size": f" measuring {size:g} mm" if size else "",
            "signals": self._signals(statement.get("signals") or ()),
        }
        sentence = re.sub(r"\s+", " ", forms[statement["assertion"]].format(**words)).replace(" ,", ",").strip()
        return sentence[0].upper() + sentence[1:] + "."

    def flip_sides(self, text: str, language: str) -> str:
        """Swap left and right in a text; doing it twice gives the text back.

        Words in lower, Title and UPPER case are swapped, other spellings stay. In Chinese a mixed pair
        such as 左右 ("about", "both") stays as it is.

        Raises:
            ValueError: if the language is unknown.
        """
        if language not in self.languages:
            raise ValueError(f"language {language!r}: expected one of {sorted(self.languages)}; cannot swap its sides")
        words, characters = self._flips[language]
        text = words.swap(text)
        return characters.swap(text)

    @cached_property
    def _flips(self) -> dict[str, tuple[_WordSwap, _CharacterSwap]]:
        return {
            code: (_WordSwap(language["flips"]["words"]), _CharacterSwap(language["flips"]["characters"]))
            for code, language in self.languages.items()
        }

    def _place(self, site: str | None, side: str | None) -> str:
        places = self.renderings["places"]
        if site is None:
            return places["unsited"].get(side, "") if side else ""
        words = {"site": self.sites[site].name["en"], "sites": self.sites[site].plural, "side": side}
        return places["sited"][side or "none"].format(**words)

    def _signals(self, signals: Any) -> str:
        words = self.renderings["signals"]
        parts = [words[s["signal"]].format(sequence=s["sequence"]) for s in signals if s.get("signal") in words]
        return ", with " + " and ".join(parts) if parts else ""


class _WordSwap:
    """Swaps whole words in the three regular letter cases."""

    def __init__(self, pairs: list[list[str]]) -> None:
        self._table: dict[str, str] = {}
        for one, other in pairs:
            cases = {(one, other), (one.title(), other.title()), (one.upper(), other.upper())}
            regular = cases if one.islower() else {(one, other)}
            self._table |= dict(regular) | {b: a for a, b in regular}
        words = sorted(map(re.escape, self._table), key=lambda word: (-len(word), word))
        # R/O, L5 and R2* are no sides
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(words)})(?![A-Za-z0-9*]|/[Oo]\b)")

    def swap(self, text: str) -> str:
        return self._pattern.sub(lambda match: self._table[match.group()], text)


class _CharacterSwap:
    """Swaps single characters, but leaves a run of exactly one mixed pair."""

    def __init__(self, pairs: list[list[str]]) -> None:
        self._table = str.maketrans({a: b for one, other in pairs for a, b in ((one, other), (other, one))})
        members = "".join(one + other for one, other in pairs)
        self._pattern = re.compile(f"[{members}]+") if members else None

    def swap(self, text: str) -> str:
        return self._pattern.sub(self._swap_run, text) if self._pattern else text

    def _swap_run(self, match: re.Match[str]) -> str:
        run = match.group()
        is_pair = len(run) == 2 and run[0] != run[1]
        return run if is_pair else run.translate(self._table)


def _strings(node: Any, *, is_terms: bool) -> Iterator[str]:
    """The strings of every list below a language code."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _strings(value, is_terms=key in LANGUAGES)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, is_terms=is_terms)
    elif is_terms:
        yield str(node)


@lru_cache(maxsize=8)
def _load(name: str) -> Lexicon:
    findings, sites = _read(name, "findings"), _read(name, "sites")
    return Lexicon(
        name=name,
        findings={code: _finding(code, block, sites["sites"]) for code, block in findings["findings"].items()},
        sites={code: _site(code, block) for code, block in sites["sites"].items()},
        prompts={code: _prompts(code, block, findings["findings"]) for code, block in _read(name, "prompts").items()},
        questions=_questions(_read(name, "questions"), findings["findings"]),
        renderings=_read(name, "renderings"),
        languages={code: _read("languages", code) | _read("languages", f"{code}_sections") for code in LANGUAGES},
        examinations=_read(name, "examinations"),
        rules={key: value for part in (findings, sites) for key, value in part.items()},
    )


def _read(folder: str, name: str) -> dict[str, Any]:
    return _spelled_out(YAML(typ="safe").load((_FOLDER / folder / f"{name}.yaml").read_text(encoding="utf-8")))


def _spelled_out(node: Any) -> Any:
    """Replace each term with alternatives in a list by the terms that it stands for."""
    if isinstance(node, Mapping):
        return {key: _spelled_out(value) for key, value in node.items()}
    if isinstance(node, list):
        return [item for one in node for item in (alternatives(one) if isinstance(one, str) else [_spelled_out(one)])]
    return node


def _finding(code: str, block: dict[str, Any], sites: dict[str, Any]) -> Finding:
    default_site = block.get("default_site")
    if default_site is not None and default_site not in sites:
        raise ValueError(f"finding {code}: default_site {default_site!r} is not a site; add it to sites.yaml")
    return Finding(code, block["name"], block["definition"], default_site, _terms(block), block)


def _site(code: str, block: dict[str, Any]) -> Site:
    plural = block.get("plural", block["name"]["en"] + "s")
    return Site(code, block["name"], plural, block.get("parent"), _terms(block), block)


def _terms(block: dict[str, Any]) -> Terms:
    return {language: tuple(block.get("terms", {}).get(language, ())) for language in LANGUAGES}


def _prompts(code: str, block: dict[str, Any], findings: dict[str, Any]) -> Prompts:
    if code not in findings:
        raise ValueError(f"prompts of {code!r}: not a finding; add it to findings.yaml")
    return Prompts(tuple(block["positive"]), tuple(block["negative"]), tuple(block["queries"]))


def _questions(block: dict[str, Any], findings: dict[str, Any]) -> dict[str, Question]:
    articles = {finding: article for article, codes in block["articles"].items() for finding in codes}
    questions = {code: _question(code, kind, articles) for code, kind in block["questions"].items()}
    named = {*articles, *(finding for question in questions.values() for finding in question.findings)}
    if unknown := sorted(named - set(findings)):
        raise ValueError(f"questions about {unknown}: not findings; add them to findings.yaml")
    return questions


def _question(code: str, block: dict[str, Any], articles: Mapping[str, str]) -> Question:
    findings, sequences = tuple(block["findings"]), tuple(block.get("sequences", ()))
    return Question(code, findings, sequences, tuple(block["trained"]), tuple(block["held_out"]), articles)
