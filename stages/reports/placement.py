"""Places as a sentence lists them: sites with their sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace

from stages.reports.sentences import Mention, Sentence

#: Words that may part a side from its site, or a place from what it holds.
MAX_ADJECTIVES = 4
#: Of sites that are named by their lobe alone.
LOBAR_PRIORITY = 1
_MAX_LEAD = 5


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


@dataclass
class Item:
    """One entry of a list of places while it is being read."""

    sites: list[str] = field(default_factory=list)
    side: str | None = None
    is_side_first: bool = False
    is_white_matter: bool = False

    def add(self, mention: Mention) -> bool:
        """Take in one more word of the same place; false if it opens another place."""
        if mention.kind == "side":
            if self.side is None:
                self.side, self.is_side_first = mention.value, not self.sites
            elif not self.sites:
                self.side = "bilateral" if {self.side, mention.value} == {"left", "right"} else mention.value
            else:
                return False
        elif mention.kind == "white_matter":
            self.is_white_matter = True
        else:
            self.sites += mention.values
        return True


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


def between(sentence: Sentence, start: int, end: int) -> tuple[str, ...]:
    """The words of a stretch but those that only say that something goes on there: "extending into"."""
    cues = [m for m in sentence.of("extension") if start <= m.start and m.end <= end]
    inside = {index for m in cues for index in range(m.start, m.end)}
    return tuple(word for index, word in enumerate(sentence.words[start:end], start) if index not in inside)


def resolved(sentence: Sentence, mention: Mention) -> Mention | None:
    """The side that "ipsilateral" means: the last one named before it."""
    named = [side for side in sentence.of("side") if side.end <= mention.start and side.value in ("left", "right")]
    return replace(mention, kind="side", values=named[-1].values) if named else None


def is_side_of(group: Group, after: Group, sentence: Sentence) -> bool:
    """Whether a side stands apart from its sites: "periventricular foci bilaterally"."""
    gap = sentence.words[group.end : after.start]
    is_bare = all(place.site is None for place in after.places) and len(after.places) == 1
    # "the ventricles are dilated, right more than left"
    is_compared = "than" in sentence.words[after.start : after.end]
    is_near = len(gap) <= MAX_ADJECTIVES and (is_compared or "," not in gap)
    return is_bare and is_near and not any(p.side for p in group.places)


def is_affected(sentence: Sentence, group: Group, mention: Mention, affecting: Set[str]) -> bool:
    """Whether a place is said to give way to a lesion named further on: "脑桥受压，表皮样囊肿可能性大"."""
    for other in sentence.of("change", "finding"):
        gap = sentence.words[group.end : other.start]
        is_next = group.end <= other.start and other.end <= mention.start and len(gap) <= MAX_ADJECTIVES
        if is_next and not affecting.isdisjoint(other.values) and "," not in gap:
            return "," in sentence.words[other.end : mention.start]
    return False


def is_largest(sentence: Sentence, group: Group, phrases: tuple[str, ...]) -> bool:
    """Whether a place is but that of one of several lesions: "较大者位于右侧枕叶"."""
    lead = "".join(sentence.words[max(0, group.start - _MAX_LEAD) : group.start])
    return any(words in lead for words in phrases)
