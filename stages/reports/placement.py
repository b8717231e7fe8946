"""Places as a sentence lists them: sites with their sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Place:
    """One site and side; either may be unknown."""

    site: str | None = None
    side: str | None = None
    #: said to be in the white matter, whatever the site
    is_white_matter: bool = False


@dataclass(frozen=True)
class Group:
    """Places that one list names, and the tokens it covers."""

    start: int
    end: int
    places: tuple[Place, ...]
    #: next to these places rather than in them
    is_beside: bool = False


def combine(own: Group, following: Group, merge: Callable[[Place, Place], Place]) -> Iterator[Place]:
    """Fill what an attribute leaves open from the phrase after the finding."""
    merged = [merge(one, other) for one in own.places for other in following.places]
    yield from dict.fromkeys(merged)


def contradict(one: Group, other: Group) -> bool:
    """Whether two lists name different sides."""
    sides, others = ({place.side for place in group.places} - {None} for group in (one, other))
    return bool(sides) and bool(others) and sides != others


def without_brackets(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words without what stands in brackets: "left precuneus (8 mm) and right pons"."""
    if "(" not in words or ")" not in words[words.index("(") :]:
        return words
    start = words.index("(")
    return words[:start] + words[words.index(")", start) + 1 :]


def at_site(places: list[Place], site: str) -> list[Place]:
    """The same sides at another site; a place of unknown side if there is none."""
    return list(dict.fromkeys(replace(place, site=site) for place in places)) or [Place(site)]
