"""How a task is declared: its figure, and the tables of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stages.evaluation.quantities import Quantity


@dataclass(frozen=True)
class Column:
    """A column of a table: one quantity, or one for each amount of labels or each class that is found.

    Attributes:
        metric: name of the metric in ``results.csv``.
        title: how the column is headed.
        amounts: one column, or one for each share or each count of labels, or for the largest share only.
        classes: of the whole or the average over classes, or one column for each class or two-class task.
    """

    metric: str
    title: str
    amounts: Literal["one", "shares", "shots", "most"] = "one"
    classes: Literal["whole", "macro", "each", "subtypes"] = "whole"


@dataclass(frozen=True)
class View:
    """One table of a task.

    Attributes:
        title: heading; empty for the first table, which holds the figures that methods are compared by.
        columns: what it shows.
        is_every_split: whether it is shown for every split, or for the primary one only.
    """

    title: str
    columns: tuple[Column, ...]
    is_every_split: bool = False


@dataclass(frozen=True)
class Task:
    """One downstream task.

    Attributes:
        name: folder of its cases, and the task of its rows.
        title: heading of its page.
        references: rows beside the objectives that have cases of it.
        views: its tables; the first one holds the compared figures.
        primary: its declared figure, of any split; None where nothing is tested.
        primary_title: short name of that figure.
        reading: how to read its numbers, in one line.
        missing: what a cohort lacks that has no cases of it.
        labels_name: what its models learn from.
        is_compared: whether methods are compared by its first table, which is then drawn too.
        by_class: figures of every method and class: ending of the file name, and what is shown.
        own_rows: endings of the names of further rows that an objective with heads of its own may have. The cases
            of an objective then lie in a folder of its name, a file a row, and only some objectives have them.
    """

    name: str
    title: str
    references: tuple[str, ...]
    views: tuple[View, ...]
    primary: Quantity | None
    primary_title: str
    reading: str
    missing: str
    labels_name: str = "labels"
    is_compared: bool = True
    by_class: tuple[tuple[str, Column], ...] = ()
    own_rows: tuple[str, ...] = ()
