"""Records of a CSV file, read strictly: one that breaks the quoting costs its row and no other's text."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from functools import cached_property

_DIGITS = re.compile(r"\d+")


class Rows:
    """The records below the header of a CSV file.

    A quote that is not closed runs on until another quote, the limit of a field or the end of the file.
    Reading goes on at the next line after it that begins a record, so that no record's text is taken for
    that of the one before.
    """

    def __init__(self, lines: Iterator[str], delimiter: str) -> None:
        """Prepare for a file.

        Args:
            lines: its lines with their ends, the header first.
            delimiter: between the cells.
        """
        self._lines = lines
        self._delimiter = delimiter
        self._ahead: deque[str] = deque()
        self._place = 0
        self._last = ""

    @cached_property
    def header(self) -> list[str]:
        """The cells of the first record; none if it cannot be read."""
        line = self._next_line()
        return [] if line is None else self._cells([line]) or []

    def records(self, accession_place: int) -> Iterator[list[str] | None]:
        """Cells of each record, with ``None`` for one that breaks its format.

        Args:
            accession_place: index of the cell that tells where a record begins.
        """
        self._place = accession_place
        width = len(self.header)
        while (line := self._next_line()) is not None:
            taken = [line]
            cells = self._cells(taken)
            if cells is None or self._swallows(cells, taken):
                self._resume(taken)
                yield None
            elif any(cell.strip() for cell in cells[width:]):
                yield None
            else:
                self._last = self._accession(cells) or self._last
                yield cells

    def _next_line(self) -> str | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _cells(self, taken: list[str]) -> list[str] | None:
        """The record that begins with the line; lines that belong to it are added to those that were taken."""

        def feed() -> Iterator[str]:
            yield taken[0]
            while (line := self._next_line()) is not None:
                taken.append(line)
                yield line

        try:
            return next(csv.reader(feed(), delimiter=self._delimiter, strict=True), None)
        except csv.Error:
            return None

    def _swallows(self, cells: list[str], taken: list[str]) -> bool:
        """Whether the lines of a record are one by one whole records with accession numbers like its own."""
        if len(taken) == 1:
            return False
        lines = csv.reader(taken, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)
        own = self._accession(cells)
        return all(len(one) == len(self.header) and _are_alike(self._accession(one), own) for one in lines)

    def _resume(self, taken: list[str]) -> None:
        """Go back behind the first line of a broken record and on to the next that begins one."""
        self._ahead.extendleft(reversed(taken[1:]))
        own = self._accession(self._loose(taken[0]))
        while (line := self._next_line()) is not None:
            if self._begins(line, own):
                self._ahead.appendleft(line)
                return

    def _begins(self, line: str, own: str) -> bool:
        cells = self._loose(line)
        number = self._accession(cells)
        if _are_alike(number, own) or _are_alike(number, self._last):
            return True
        has_digits = bool(_DIGITS.search(number)) or not _DIGITS.search(own + self._last)
        is_long = 2 * len(number) > len(self._last or own)
        return len(cells) == len(self.header) and len(number.split()) == 1 and has_digits and is_long

    def _loose(self, line: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=self._delimiter), [])
        except csv.Error:
            return []

    def _accession(self, cells: list[str]) -> str:
        return cells[self._place].strip(' "\r\n') if self._place < len(cells) else ""


def _are_alike(number: str, other: str) -> bool:
    """Whether two accession numbers are built alike: the same but for their digits, and those about as many."""
    shapes = [_DIGITS.sub("#", one) for one in (number, other)]
    return shapes[0] == shapes[1] and "#" in shapes[0] and abs(len(number) - len(other)) <= 1
