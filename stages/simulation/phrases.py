"""Words for lesions: the phrase files, and what their templates are filled with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from stages.params import Params
from stages.simulation.grammar import Grammar
from stages.simulation.truth import Lesion

LANGUAGES = ("en", "zh")

#: sequences whose contrast is told as a signal; diffusion and enhancement have words of their own
_CONVENTIONAL = ("T1", "T2", "FLAIR", "SWI", "PD")
_GATED = (*_CONVENTIONAL, "T1C", "DWI", "ADC")
_DIFFUSE_EXTENT_MM = 30.0
_SIZE_ERROR = 0.08

Values = dict[str, str | None]


class Kind(Params):
    """How one kind of lesion is said."""

    finding: str
    subtype: tuple[str, ...] = ()
    is_plural: bool = False
    rules: dict[str, tuple[str, ...]]


class Site(Params):
    """Names of a site; ``pattern`` tells how it goes with a side."""

    pattern: str
    name: tuple[str, ...]
    plural: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


class SignalWords(Params):
    """How a signal is said of some sequences, before and after the noun."""

    adjective: tuple[str, ...]
    predicate: tuple[str, ...]


class Phrasebook(Params):
    """Everything a language needs to describe lesions."""

    rules: dict[str, tuple[str, ...]]
    plural_rules: dict[str, tuple[str, ...]]
    held_out: dict[str, tuple[str, ...]]
    sites: dict[str, Site]
    places: dict[str, dict[str, tuple[str, ...]]]
    side_names: dict[str, str]
    signals: dict[str, SignalWords]
    sequence_names: tuple[dict[str, str], ...]
    sequence_joiners: tuple[str, ...]
    group_joiners: tuple[str, ...]
    adjective_joiner: str
    relaxation: tuple[str, ...] = ()
    sizes: tuple[str, ...]
    plural_sizes: tuple[str, ...]
    kinds: dict[str, Kind]

    def kind(self, lesion: Lesion) -> Kind:
        """Find how a lesion is said: by its subtype, else by its finding.

        Raises:
            KeyError: if the phrase files do not know the finding.
        """
        subtype = lesion.subtype.replace("_", " ").casefold()
        for kind in self.kinds.values():
            is_subtype = not kind.subtype or any(word in subtype for word in kind.subtype)
            if kind.finding == lesion.finding and is_subtype:
                return kind
        raise KeyError(f"finding {lesion.finding!r} has no phrases; add it to stages/simulation/findings_*.yaml")

    def grammar(self, kind: Kind, held_out_share: float) -> Grammar:
        """Return the rules that write sentences about a kind of lesion."""
        general = Grammar(self.rules, self.held_out, held_out_share)
        return (general.extended(self.plural_rules) if kind.is_plural else general).extended(kind.rules)


@cache
def read_phrases(name: str) -> Any:
    """Read one phrase file beside this module, e.g. ``"phrases_en"``."""
    return YAML(typ="safe").load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def load_phrasebook(language: str) -> Phrasebook:
    """Load the phrase files of a language (``en`` or ``zh``)."""
    return Phrasebook.model_validate(
        read_phrases(f"phrases_{language}") | {"kinds": read_phrases(f"findings_{language}")}
    )


def sequence_gates(sequences: tuple[str, ...]) -> Values:
    """Return the values that keep a template to studies with (``?T1C``) or without (``!T1C``) a sequence."""
    present: Values = {f"?{name}": "" if name in sequences else None for name in _GATED}
    return present | {f"!{name}": None if name in sequences else "" for name in _GATED}


def lesion_values(
    lesion: Lesion, kind: Kind, book: Phrasebook, sequences: tuple[str, ...], rng: np.random.Generator
) -> Values:
    """Return what the templates about a lesion may be filled with; ``None`` where there is nothing to say."""
    location = _location(lesion, kind, book, rng)
    shown = {name: signal for name, signal in lesion.signals.items() if name in sequences}
    return {
        **sequence_gates(sequences),
        "location": location,
        "bare": location.removeprefix("the "),
        "attributive": _attributive(location, lesion, book),
        # The midline moves away from the mass.
        "toward": book.side_names.get({"left": "right", "right": "left"}.get(lesion.side or "", "")),
        "everywhere": "" if lesion.site in (None, "whole_brain") else None,
        **_sizes(lesion, kind, book, rng),
        **_signal_words(lesion, shown, book, rng),
        **_diffusion_flags(lesion, shown),
        **_enhancement_flags(lesion, shown),
    }


def is_restricted(lesion: Lesion, sequences: tuple[str, ...]) -> bool:
    """Tell whether the acquired sequences show restricted diffusion."""
    shown = {name: signal for name, signal in lesion.signals.items() if name in sequences}
    return _diffusion_flags(lesion, shown)["restricted"] is not None


def _location(lesion: Lesion, kind: Kind, book: Phrasebook, rng: np.random.Generator) -> str:
    if lesion.site in (None, "whole_brain") and "nowhere" in kind.rules:
        return _pick(kind.rules["nowhere"], rng)
    site = book.sites[lesion.site] if lesion.site else Site(pattern="nowhere", name=("",))
    case = "sided" if lesion.side in book.side_names else (lesion.side or "plain")
    templates = site.plain if case == "plain" and site.plain else book.places[site.pattern][case]
    names = {
        "side": book.side_names.get(lesion.side or "", ""),
        "name": _pick(site.name, rng),
        "plural": _pick(site.plural or site.name, rng),
    }
    return _pick(templates, rng).format(**names)


def _attributive(location: str, lesion: Lesion, book: Phrasebook) -> str | None:
    """Return a location that can stand before a noun, such as "left frontal lobe"."""
    bare = location.removeprefix("the ")
    is_short = bare.startswith(book.side_names.get(lesion.side or "", "\n")) and " of " not in bare
    return bare if is_short else None


def _sizes(lesion: Lesion, kind: Kind, book: Phrasebook, rng: np.random.Generator) -> Values:
    if lesion.size_mm <= 0 or (kind.is_plural and lesion.size_mm > _DIFFUSE_EXTENT_MM):
        return {"size": None, "bare_size": None}
    mm = max(1, round(lesion.size_mm * rng.uniform(1 - _SIZE_ERROR, 1 + _SIZE_ERROR)))
    mm2 = max(1, round(mm * rng.uniform(0.6, 0.95)))
    numbers = {"mm": mm, "mm2": mm2, "cm": f"{mm / 10:.1f}", "cm2": f"{mm2 / 10:.1f}"}
    templates = book.plural_sizes if kind.is_plural else book.sizes
    return {
        "size": _pick(templates, rng).format(**numbers),
        "bare_size": _pick(book.sizes[:2], rng).format(**numbers),
    }


def _signal_words(lesion: Lesion, shown: dict[str, str], book: Phrasebook, rng: np.random.Generator) -> Values:
    """Word the signals of some of the sequences shown, differently before and after the noun."""
    is_told_apart = any(flag is not None for flag in _diffusion_flags(lesion, shown).values())
    told = [name for name in _CONVENTIONAL if name in shown]
    if "DWI" in shown and not is_told_apart:
        told += [name for name in ("DWI", "ADC") if name in shown]
    if not told:
        return {"predicate": None, "adjective": None}
    names = book.sequence_names[rng.integers(len(book.sequence_names))]
    plain = [one for one in book.sequence_names if "suffix" not in one]
    after = _groups(shown, told, rng)
    before = list(_groups(shown, told, rng).items())[: 1 + int(rng.random() < 0.25)]
    joiner = _pick(book.sequence_joiners, rng)
    predicates = [_say(book.signals[s].predicate, group, names, joiner, rng) for s, group in after.items()]
    adjectives = [_say(book.signals[s].adjective, g, plain[rng.integers(len(plain))], joiner, rng) for s, g in before]
    adjective = book.adjective_joiner.join(adjectives)
    has_long_relaxation = shown.get("T1") == "low" and shown.get("T2") == "high" and bool(book.relaxation)
    if has_long_relaxation and rng.random() < 0.5:
        adjective = _pick(book.relaxation, rng)
    return {"predicate": _pick(book.group_joiners, rng).join(predicates), "adjective": adjective}


def _groups(shown: dict[str, str], told: list[str], rng: np.random.Generator) -> dict[str, list[str]]:
    """Group a random choice of sequences by signal; those in which the lesion stands out come first."""
    telling = [name for name in told if shown[name] != "iso"] or told
    is_kept = rng.random(len(telling)) < 0.75
    kept = [name for name, keep in zip(telling, is_kept, strict=True) if keep] or telling[-1:]
    if rng.random() < 0.3:
        kept += [name for name in told if shown[name] == "iso" and name not in kept]
    groups: dict[str, list[str]] = {}
    for name in sorted(kept, key=lambda name: shown[name] != "high"):
        groups.setdefault(shown[name], []).append(name)
    return groups


def _say(
    templates: tuple[str, ...], group: list[str], names: dict[str, str], joiner: str, rng: np.random.Generator
) -> str:
    sequences = joiner.join(names[name] for name in group) + names.get("suffix", "")
    return _pick(templates, rng).format(sequences=sequences)


def _diffusion_flags(lesion: Lesion, shown: dict[str, str]) -> Values:
    dwi, adc = shown.get("DWI"), shown.get("ADC")
    is_acute = lesion.finding == "restricted_diffusion" or lesion.subtype == "acute infarct"
    has_low_diffusivity = adc == "low" or (adc is None and is_acute)
    return {
        "restricted": "" if dwi == "high" and has_low_diffusivity else None,
        "free": "" if dwi in ("iso", "low") else None,
    }


def _enhancement_flags(lesion: Lesion, shown: dict[str, str]) -> Values:
    contrast = shown.get("T1C")
    is_bright_before = lesion.finding == "haemorrhage" or lesion.signals.get("T1") == "high"
    if contrast is None or is_bright_before:
        return {"enhances": None, "rings": None, "unenhancing": None}
    return {
        "enhances": "" if contrast == "high" else None,
        "rings": "" if contrast == "mixed" else None,
        "unenhancing": "" if contrast in ("iso", "low") else None,
    }


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]
