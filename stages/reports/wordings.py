"""How a term of the lexicon may be written: alternatives, regional spellings, plurals, open and closed compounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

_ALTERNATIVES = re.compile(r"\(([^()]*\|[^()]*)\)")
# A shorter rest of a word is hardly a word itself: "bi" + "lobed".
_SHORTEST_REST = 4


def alternatives(term: str) -> Iterator[str]:
    """Write out the choices of a term: "(acute|recent|) infarct"."""
    match = _ALTERNATIVES.search(term)
    if match is None:
        yield " ".join(term.split())
        return
    for choice in match[1].split("|"):
        yield from alternatives(term[: match.start()] + choice + term[match.end() :])


def spellings(term: str, language: Mapping[str, Any], *, is_name: bool = True) -> set[str]:
    """Spell a term in the regional ways of its language; a name in singular and plural, prefixes joined or apart."""
    variants = {term}
    for one, other in language["spellings"]:
        variants |= {variant.replace(one, other) for variant in variants}
    if not is_name:
        return variants
    for ending, plural in language["plurals"]:
        variants |= {re.sub(f"{ending}$", plural, variant) for variant in list(variants) if variant.endswith(ending)}
    prefixes = "|".join(language.get("prefixes", ()))
    if prefixes:
        rest = rf"[a-z]{{{_SHORTEST_REST},}}"
        variants |= {re.sub(rf"\b({prefixes}) (?={rest})", r"\1", variant) for variant in variants}
        variants |= {re.sub(rf"\b({prefixes})(?={rest})", r"\1 ", variant) for variant in variants}
    return variants


def compounds(forms: Mapping[str, str], heads: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Join combining forms and adjectives of sites: "frontoparietal", "temporo-parieto-occipital", and their sites.

    Args:
        forms: site by combining form ("fronto").
        heads: site by adjective ("parietal").
    """
    for one, other, head in product(forms, ("", *forms), heads):
        sites = tuple(dict.fromkeys([forms[one], *([forms[other]] if other else []), heads[head]]))
        if len(sites) == 1 + bool(other) + 1:
            for join in ("", " "):
                yield join.join(filter(None, (one, other, head))), sites
