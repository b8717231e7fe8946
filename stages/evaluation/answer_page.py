"""A page of questions with the true answers and those of several methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from stages.evaluation import markdown
from stages.params import Params

Row = Mapping[str, Any]

_PAGE = """# Answers to questions

{cohort}, {split} split, pretraining seed {seed}. The first {per_kind} questions of each kind, in the order in which
they are asked, no finding twice before all were; nothing that a method answers decided about the choice. Bold answers
are right. `blind` is the answering head without an image. A study is numbered as it first appears here.

{table}
"""


class AnswerPageParams(Params):
    """Section ``show_answers``.

    Attributes:
        publish_examples: whether answers about a real cohort may be shown.
        seed: of the pretraining.
        split: of the studies.
        per_kind: questions of each kind.
    """

    publish_examples: bool
    seed: int
    split: str
    per_kind: int = Field(ge=1)


def choose_questions(answers: Sequence[Row], params: AnswerPageParams) -> list[Row]:
    """Choose the questions to show, from the answers of any method, in their order.

    Of each kind the first ones are taken, with another finding each time until all had their turn.
    """
    by_kind: dict[str, dict[str, list[Row]]] = {}
    for row in answers:
        if row["split"] == params.split and row["seed"] == params.seed:
            by_kind.setdefault(row["question"], {}).setdefault(row["finding"], []).append(row)
    chosen: list[Row] = []
    for by_finding in by_kind.values():
        turns = _in_turns(list(by_finding.values()))
        chosen += [row for row, _ in zip(turns, range(params.per_kind), strict=False)]
    return chosen


def write_page(
    chosen: Sequence[Row], answers: Mapping[str, Sequence[Row]], wordings: Sequence[str], params: AnswerPageParams,
    *, cohort: str,
) -> str:  # fmt: skip
    """Compose the page in Markdown.

    Args:
        chosen: questions to show.
        answers: rows of contract VQA_ANSWERS by method.
        wordings: text of each phrase.
        params: of the page.
        cohort: what the cohort is.
    """
    given = {name: {_key(row): row["predicted"] for row in rows} for name, rows in answers.items()}
    numbers: dict[str, int] = {}
    table = []
    for row in chosen:
        study = numbers.setdefault(row["study_id"], len(numbers) + 1)
        cells = [_mark(of_method.get(_key(row)), row["answer"]) for of_method in given.values()]
        table.append([str(study), wordings[row["phrase_id"]], _spoken(row["answer"]), *cells])
    header = ["study", "question", "true answer", *(f"`{name}`" for name in answers)]
    return _PAGE.format(
        cohort=cohort,
        split=params.split,
        seed=params.seed,
        per_kind=params.per_kind,
        table=markdown.write_table(header, table),
    )


def _in_turns(groups: Sequence[Sequence[Row]]) -> Iterator[Row]:
    for turn in range(max(map(len, groups), default=0)):
        yield from (group[turn] for group in groups if turn < len(group))


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("seed", "study_id", "question", "finding", "sequence"))


def _mark(given: str | None, true: str) -> str:
    if given is None:
        return "–"
    return f"**{_spoken(given)}**" if given == true else _spoken(given)


def _spoken(code: str) -> str:
    return code.replace("_", " ")
