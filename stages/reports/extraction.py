"""From raw reports to rows of ``reports``, ``findings`` and ``mentions.parquet``, over all cores."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import joblib
import pyarrow as pa

from stages.artifacts import tables
from stages.artifacts.extraction_tables import MENTIONS, REFERENCES
from stages.artifacts.identity import SiteKey
from stages.artifacts.report_tables import FINDINGS, REPORTS
from stages.params import Params
from stages.reports.addenda import ADDENDUM, Addenda
from stages.reports.findings import StatementReader
from stages.reports.languages import LanguageCheck
from stages.reports.lexicon import LANGUAGES, Lexicon
from stages.reports.linking import ReportLinker
from stages.reports.mentions import REFERRING, mention_rows, placed
from stages.reports.persons import with_persons
from stages.reports.scrubbing import Scrubber
from stages.reports.sections import OTHER_STUDY, REPORTED, SectionReader, detect_language
from stages.reports.sentences import SentenceReader
from stages.reports.sources.base import Columns, RawReport, Source
from stages.reports.studies import ExaminationReader
from stages.reports.utterances import Located
from stages.reports.vocabulary import Entry

_BATCH = 500
# Below this many reports, starting workers (about 7 s) costs more than it saves.
_MIN_PARALLEL = 5000
_PROCESSED = "used"

Identifiers = Mapping[str, Mapping[int, frozenset[str]]]


class ExtractionParams(Params):
    """Parameters of ``extract_findings``."""

    #: folder below ``stages/reports/lexicon``
    lexicon: str
    #: installed spaCy package whose tokenizer reads English
    spacy_model: str
    columns: Columns = Columns()
    source: Source = Source()


@dataclass(frozen=True)
class Report:
    """A raw report with its study and what is known of it before it is read."""

    raw: RawReport
    study_id: str
    status: str


@dataclass
class Screening:
    """Tells which reports of a run need reading."""

    key: SiteKey
    #: studies with images; ``None`` if not known
    studies: frozenset[str] | None = None
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def screen(self, raw: RawReport) -> Report:
        """Give a report its study and its status so far; ``used`` means that it is to be read."""
        study_id = self.key.study_id(raw.accession_number)
        return Report(raw, study_id, self._status(raw, study_id))

    def _status(self, raw: RawReport, study_id: str) -> str:
        if raw.problem is not None:
            return raw.problem
        if raw.text is None:
            return "unreadable_encoding"
        if not raw.text.strip():
            return "empty"
        fingerprint = (study_id, hash(raw.text))
        if fingerprint in self._seen:
            return "duplicate"
        self._seen.add(fingerprint)
        is_unknown = self.studies is not None and study_id not in self.studies
        return "unknown_study" if is_unknown or not raw.accession_number else _PROCESSED


class ReportReader:
    """Reads reports with one lexicon."""

    def __init__(self, lexicon: Lexicon, spacy_model: str) -> None:
        self._lexicon = lexicon
        self._sections = SectionReader(lexicon)
        self._sentences = {code: SentenceReader(lexicon, code, spacy_model) for code in LANGUAGES}
        self._statements = {code: StatementReader(lexicon, code) for code in LANGUAGES}
        self._examinations = {code: ExaminationReader(lexicon, code) for code in LANGUAGES}
        words = lexicon.languages
        self._addenda = {code: Addenda(words[code], is_spaced=code == "en") for code in LANGUAGES}
        self._apart = {code: frozenset(map(str, words[code].get("apart_denials", ()))) for code in LANGUAGES}
        self._language_check = LanguageCheck(lexicon)

    def is_supported(self, text: str, language: str) -> bool:
        """Whether a report that looks like a language is in it."""
        return self._language_check.is_supported(text, language)

    def sections(self, text: str, language: str) -> list[tuple[str, str]]:
        """Name and text of each section; parts about other examinations have a name of their own."""
        sections = self._examinations[language].mark(self._sections.read(text, language))
        return [(section.name, section.text) for section in sections]

    def statements(self, sections: Iterable[tuple[str, str]], language: str) -> list[Located]:
        """The statements of the sections that report this study."""
        return self.read(sections, language)[0]

    def read(self, sections: Iterable[tuple[str, str]], language: str) -> tuple[list[Located], list[Located]]:
        """The statements of the sections that report this study, and what any section says of other times."""
        linker = ReportLinker(self._lexicon, apart=self._apart[language])
        references: list[Located] = []
        reader = self._statements[language]
        known: dict[str, list[Entry]] = {}
        number = 0
        addenda: list[str] = []
        for name, text in sections:
            if name in REFERRING:
                references += self._referring(name, text, language)
            if name not in REPORTED:
                continue
            if name == ADDENDUM:
                addenda.append(text)
                text = self._addenda[language].without_old_wording(text)
            for sentence in self._sentences[language].read(text, known):
                loose_size_mm = reader.loose_size_mm(sentence)
                if sentence.mentions or loose_size_mm is not None:
                    referred = reader.references(sentence)
                    linker.add(
                        reader.read(sentence),
                        name,
                        number,
                        sentence.text,
                        is_anaphoric=reader.is_anaphoric(sentence),
                        loose_signals=reader.loose_signals(sentence),
                        loose_size_mm=loose_size_mm,
                        referred=[one.place for one in referred if one.place.site],
                        continued=reader.continued(sentence),
                    )
                    references += [Located(one, name, number, sentence.text) for one in referred]
                number += 1
        return self._addenda[language].apply(linker.finish(), addenda), references

    def _referring(self, name: str, text: str, language: str) -> Iterator[Located]:
        """Findings of a section about other times."""
        reader = self._statements[language]
        for number, sentence in enumerate(self._sentences[language].read(text)):
            for said in [*reader.read(sentence), *reader.references(sentence)]:
                if said.assertion == "present" or said.assertion in REFERENCES:
                    yield Located(replace(said, assertion=REFERRING[name]), name, number, sentence.text)


def extract(
    reports: Iterable[Report], params: ExtractionParams, key: SiteKey, identifiers: Identifiers
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Read reports into the tables of the ``REPORTS``, ``FINDINGS`` and ``MENTIONS`` contracts, in input order.

    Args:
        reports: screened reports.
        params: lexicon and model.
        key: the site key that ``identifiers`` were hashed under.
        identifiers: by study, by length in tokens: hashes of the n-grams to mask.
    """
    iterator = iter(reports)
    first = list(islice(iterator, _MIN_PARALLEL))
    num_jobs = (os.cpu_count() or 1) if len(first) == _MIN_PARALLEL else 1
    tasks = (
        joblib.delayed(extract_batch)(batch, params, key, _known(batch, key, identifiers))
        for batch in _batches(first, iterator)
    )
    parallel = joblib.Parallel(n_jobs=num_jobs, return_as="generator", pre_dispatch="2*n_jobs")
    batches = list(parallel(tasks)) or [extract_batch([], params, key, {})]
    report_tables, finding_tables, mention_tables = zip(*batches, strict=True)
    return pa.concat_tables(report_tables), pa.concat_tables(finding_tables), pa.concat_tables(mention_tables)


def group_identifiers(table: pa.Table) -> Identifiers:
    """Index ``identifiers.parquet`` by study and n-gram length."""
    grouped: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    columns = (table.column(name).to_pylist() for name in ("study_id", "length", "hmac"))
    for study_id, length, digest in zip(*columns, strict=True):
        grouped[study_id][length].add(digest)
    return {
        study_id: {length: frozenset(hashes) for length, hashes in lengths.items()}
        for study_id, lengths in grouped.items()
    }


def _known(batch: list[Report], key: SiteKey, identifiers: Identifiers) -> Identifiers:
    """What to mask in the reports of a batch: identifiers of their studies, and names that came with them."""
    known: dict[str, Mapping[int, frozenset[str]]] = {}
    for report in batch:
        found = known.get(report.study_id, identifiers.get(report.study_id, {}))
        known[report.study_id] = with_persons(found, report.raw.names, key) if report.raw.names else found
    return known


def _batches(first: list[Report], rest: Iterator[Report]) -> Iterator[list[Report]]:
    for start in range(0, len(first), _BATCH):
        yield first[start : start + _BATCH]
    while batch := list(islice(rest, _BATCH)):
        yield batch


@lru_cache(maxsize=2)
def reader_of(lexicon: str, spacy_model: str) -> ReportReader:
    """The reader of a lexicon, made once a process."""
    return ReportReader(Lexicon.load(lexicon), spacy_model)


def extract_batch(
    reports: list[Report], params: ExtractionParams, key: SiteKey, identifiers: Identifiers
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Read some reports in this process; arguments and result are those of ``extract``."""
    reader = reader_of(params.lexicon, params.spacy_model)
    scrubber = Scrubber(key, identifiers, Lexicon.load(params.lexicon))
    report_rows, finding_rows, mentions = [], [], []
    for report in reports:
        row, statements, mentioned = _extract_one(report, reader, scrubber)
        report_rows.append(row)
        finding_rows += statements
        mentions += mentioned
    pairs = ((REPORTS, report_rows), (FINDINGS, finding_rows), (MENTIONS, mentions))
    report_table, finding_table, mention_table = (tables.from_rows(contract, rows) for contract, rows in pairs)
    return report_table, finding_table, mention_table


def _extract_one(report: Report, reader: ReportReader, scrubber: Scrubber) -> tuple[dict, list[dict], list[dict]]:
    """Read one report. What is not read is not stored: without its study nothing tells its identifiers."""
    record = report.raw.row if report.raw.record is None else report.raw.record
    row: dict[str, Any] = {"row": report.raw.row, "record": record, "version": report.raw.version}
    row |= {"study_id": report.study_id, "status": report.status, "language": None, "sections": [], "num_masked": 0}
    if report.status != _PROCESSED or report.raw.text is None:
        return row, [], []
    language = _language(report.raw)
    raw_sections = reader.sections(report.raw.text, language)
    if not reader.is_supported("\n".join(text for _, text in raw_sections), language):
        return row | {"status": "unsupported_language"}, [], []
    scrubbed = [(name, scrubber.scrub(report.study_id, text)) for name, text in raw_sections]
    sections = [(name, clean.text) for name, clean in scrubbed]
    located, references = reader.read(sections, language)
    row["language"] = language
    row["sections"] = [{"name": name, "text": text} for name, text in sections]
    row["num_masked"] = sum(clean.num_masked for _, clean in scrubbed)
    if not located:
        row["status"] = _status_without_findings({name for name, _ in sections})
    findings = [_finding_row(report, language, number, one) for number, one in enumerate(located)]
    return row, findings, mention_rows(report.raw.row, report.study_id, located, references)


def _status_without_findings(names: set[str]) -> str:
    if names & REPORTED:
        return "no_findings"
    return "other_examination" if OTHER_STUDY in names else "uninformative"


def _language(raw: RawReport) -> str:
    given = (raw.language or "")[:2].lower()
    return given if given in LANGUAGES else detect_language(raw.text or "")


def _finding_row(report: Report, language: str, number: int, one: Located) -> dict[str, Any]:
    said = one.statement
    signals = [{"sequence": sequence, "signal": signal} for sequence, signal in said.signals.items()]
    first = signals[0] if signals else {"sequence": None, "signal": None}
    return {
        "row": report.raw.row,
        "study_id": report.study_id,
        "statement": number,
        **placed(one),
        **first,
        "signals": signals,
        "assertion": said.assertion,
        "size_mm": said.size_mm,
        "language": language,
        "text": one.text,
    }
