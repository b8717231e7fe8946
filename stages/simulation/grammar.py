"""A small template language, in which report sentences are written.

``[a|b|]`` picks one of its alternatives, which may be empty. ``{name}`` stands for a value or for
one of the templates of a rule. An alternative that needs a missing value (``None``) is never
picked, so that a template mentions a size, a side or a sequence only where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

_SYNTAX = re.compile(r"[\[\]|]|\{[^{}]*\}|[^\[\]|{}]+")

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class _Reference:
    name: str


@dataclass(frozen=True)
class _Choice:
    alternatives: tuple[tuple[_Part, ...], ...]


_Part = str | _Reference | _Choice


@dataclass(frozen=True)
class Grammar:
    """Rules by name, and how to write text by them."""

    rules: Mapping[str, Sequence[str]]
    #: further templates of the same rules, kept from the development set
    held_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: how often a rule with held-out templates uses them
    held_out_share: float = 0.0

    def extended(self, rules: Mapping[str, Sequence[str]]) -> Grammar:
        """Return a grammar in which some rules are replaced."""
        held_out = {name: texts for name, texts in self.held_out.items() if name not in rules}
        return Grammar({**self.rules, **rules}, held_out, self.held_out_share)

    def write(self, template: str, values: Values, rng: np.random.Generator) -> str:
        """Write one text by a template.

        Args:
            template: the template, e.g. ``"{finding} in [the|both] {site}."``.
            values: what the names stand for; ``None`` for what there is not.
            rng: source of every choice.

        Raises:
            ValueError: if the template cannot be filled with these values.
        """
        parts = _parse(template)
        if not self._can_write(parts, values):
            raise ValueError(f"template {template!r}: no alternative can be filled; add one or give the values")
        return self._write(parts, values, rng)

    def can_write(self, template: str, values: Values) -> bool:
        """Tell whether a template can be filled with these values."""
        return self._can_write(_parse(template), values)

    def _write(self, parts: tuple[_Part, ...], values: Values, rng: np.random.Generator) -> str:
        return "".join(part if isinstance(part, str) else self._resolve(part, values, rng) for part in parts)

    def _resolve(self, part: _Reference | _Choice, values: Values, rng: np.random.Generator) -> str:
        if isinstance(part, _Reference) and part.name in values:
            return values[part.name] or ""
        fitting = [one for one in self._alternatives(part, rng) if self._can_write(one, values)]
        fitting = fitting or [one for one in self._alternatives(part, None) if self._can_write(one, values)]
        return self._write(fitting[rng.integers(len(fitting))], values, rng)

    def _alternatives(self, part: _Reference | _Choice, rng: np.random.Generator | None) -> Sequence[tuple[_Part, ...]]:
        if isinstance(part, _Choice):
            return part.alternatives
        held_out = self.held_out.get(part.name, ()) if self.held_out_share else ()
        is_held_out = bool(held_out) and rng is not None and rng.random() < self.held_out_share
        return [_parse(text) for text in (held_out if is_held_out else self.rules[part.name])]

    def _can_write(self, parts: tuple[_Part, ...], values: Values) -> bool:
        return all(isinstance(part, str) or self._can_resolve(part, values) for part in parts)

    def _can_resolve(self, part: _Reference | _Choice, values: Values) -> bool:
        if isinstance(part, _Reference):
            if part.name in values:
                return values[part.name] is not None
            if part.name not in self.rules:
                raise ValueError(f"template name {part.name!r} is neither a value nor a rule; correct the phrase file")
        return any(self._can_write(one, values) for one in self._alternatives(part, None))


@cache
def _parse(template: str) -> tuple[_Part, ...]:
    tokens = _SYNTAX.findall(template)
    parts, rest = _parse_sequence(tokens, 0)
    if rest != len(tokens) or "".join(tokens) != template:
        raise ValueError(f"template {template!r}: unbalanced brackets; correct the phrase file")
    return parts


def _parse_sequence(tokens: list[str], start: int) -> tuple[tuple[_Part, ...], int]:
    parts: list[_Part] = []
    position = start
    while position < len(tokens) and tokens[position] not in "|]":
        token = tokens[position]
        position += 1
        if token == "[":
            choice, position = _parse_choice(tokens, position)
            parts.append(choice)
        else:
            parts.append(_Reference(token[1:-1]) if token[0] == "{" else token)
    return tuple(parts), position


def _parse_choice(tokens: list[str], start: int) -> tuple[_Choice, int]:
    alternatives = []
    position = start - 1
    while position < len(tokens) and tokens[position] != "]":
        alternative, position = _parse_sequence(tokens, position + 1)
        alternatives.append(alternative)
    return _Choice(tuple(alternatives)), position + 1
