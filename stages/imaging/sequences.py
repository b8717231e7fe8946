"""Which MR sequence a series is: by its physics, by its header text, and by both together."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Weighting below this b-value shows no diffusion contrast worth the name.
MIN_DIFFUSION_B_VALUE_S_MM2 = 300.0

_NO_CONTRAST_AGENT = frozenset({"", "NO", "NONE", "N", "N/A", "NA", "0", "NATIVE", "WITHOUT", "UNKNOWN"})
_ADC_TYPES = frozenset({"ADC", "ADC_UNSPECIFIED", "APPARENT DIFFUSION COEFFICIENT", "APPARENT_DIFFUSION_COEFFICIENT"})
_TRACE_TYPES = frozenset({"TRACEW", "TRACE", "ISOTROPIC"})

# The first pattern found decides. Words stand between non-letters, since underscores join them.
_HEADER_PATTERNS = (
    ("OTHER", r"localizer|localiser|scout|survey|surv|loc|3[- ]?plane|plan ?scan|定位\w*|mip|minip"),
    ("SWI", r"swi|swan|ven ?bold|venobold|swip|t2 ?\*|t2star|gre ?t2|t2 ?gre|hemo|磁敏感\w*"),
    ("OTHER", r"tof|mra|mrv|angio\w*|venogra\w*|perf\w*|pwi|dsc|dce|asl|pcasl|bold|fmri|resting|field ?map|b0 ?map"),
    (
        "OTHER",
        r"mrs|spectro\w*|stir|cine|ciss|fiesta|b ?ffe|eadc|colfa|fa ?map|dti ?fa|calib\w*|asset ?cal\w*",
    ),
    ("ADC", r"d?adc|apparent ?diffusion\w*|表观扩散\w*|表观弥散\w*"),
    ("DWI", r"dwi|dti|diff|diffusion\w*|trace\w*|ep2d ?diff|b ?1000|b ?1500|弥散\w*|扩散\w*|resolve"),
)
_FLAIR = r"flair|dark ?fluid|tirm|压水|水抑制|黑水"
_T1 = r"t1w?|mp ?rage|mp2rage|spgr|fspgr|bravo|tfe|vibe|cube ?t1|t1 ?\w*"
_T2 = r"t2w?|t2 ?\w*"
_PD = r"pdw?|proton ?density|dp"
_CONTRAST = r"gd|gad\w*|gado\w*|contrast|post|ce|\+ ?c|c ?\+|km|enh\w*|增强\w*|强化"
_NO_CONTRAST = r"pre|without|native|non ?contrast|no ?contrast|平扫"


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What a header says about the contrast of a series.

    Attributes:
        scanning_sequence: DICOM codes: SE, IR, GR, EP, RM.
        image_type: upper-case values of ImageType.
        text: series description, protocol and sequence name.
    """

    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    b_value_s_mm2: float | None = None
    scanning_sequence: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    contrast_agent: str = ""
    is_angiography: bool = False
    text: str = ""

    @property
    def has_contrast_agent(self) -> bool:
        """Whether the header names a contrast agent."""
        return names_contrast_agent(self.contrast_agent)


@dataclass(frozen=True, slots=True)
class Identification:
    """A sequence code, how sure it is (0 to 1), and what each of the two ways said."""

    sequence: str
    confidence: float
    by_physics: str | None
    by_header: str | None


def names_contrast_agent(text: str) -> bool:
    """Whether the text of ContrastBolusAgent names an agent, rather than that there was none."""
    return text.strip().upper() not in _NO_CONTRAST_AGENT


def identify(acquisition: Acquisition) -> Identification:
    """Identify the sequence of a series; physics decides unless it cannot see the difference."""
    physics = sequence_by_physics(acquisition)
    header = sequence_by_header(acquisition.text)
    sequence, confidence = _combine(physics, header, acquisition)
    return Identification(sequence, confidence, physics, header)


def sequence_by_physics(acquisition: Acquisition) -> str | None:
    """Identify the sequence by timing, diffusion weighting and coded attributes; None if they do not tell."""
    types = frozenset(acquisition.image_type)
    is_echo_planar = "EP" in acquisition.scanning_sequence
    b_value = acquisition.b_value_s_mm2
    if types & _ADC_TYPES:
        return "ADC"
    if types & _TRACE_TYPES or (b_value is not None and b_value >= MIN_DIFFUSION_B_VALUE_S_MM2):
        return "DWI"
    if b_value is not None and (is_echo_planar or "DIFFUSION" in types):
        return "OTHER"
    if acquisition.is_angiography:
        return "OTHER"
    if is_echo_planar or acquisition.echo_time_ms is None or acquisition.repetition_time_ms is None:
        return None
    return _weighting(acquisition, acquisition.echo_time_ms, acquisition.repetition_time_ms)


def sequence_by_header(text: str) -> str | None:
    """Identify the sequence by the words of the series description and protocol; None if they do not tell."""
    words = _normalise(text)
    for sequence, pattern in _HEADER_PATTERNS:
        if _has(pattern, words):
            return sequence
    is_t1 = _has(_T1, words)
    if _has(_FLAIR, words) and not is_t1:
        return "FLAIR"
    if is_t1:
        return "T1C" if _has(_CONTRAST, words) and not _has(_NO_CONTRAST, words) else "T1"
    return "T2" if _has(_T2, words) else "PD" if _has(_PD, words) else None


def _weighting(acquisition: Acquisition, echo_time: float, repetition_time: float) -> str | None:
    codes = acquisition.scanning_sequence
    flip_angle = acquisition.flip_angle_deg or 90.0
    is_unknown = not ({"SE", "GR", "IR"} & set(codes))
    is_gradient = ("GR" in codes and "SE" not in codes) or (is_unknown and flip_angle < 60 and repetition_time < 60)
    if is_gradient:
        weighting = _gradient_weighting(acquisition, echo_time, repetition_time, flip_angle)
    elif acquisition.inversion_time_ms:
        weighting = _inversion_weighting(acquisition.inversion_time_ms, echo_time)
    else:
        weighting = _spin_weighting(echo_time, repetition_time, is_inverted="IR" in codes)
    return "T1C" if weighting == "T1" and acquisition.has_contrast_agent else weighting


def _gradient_weighting(
    acquisition: Acquisition, echo_time: float, repetition_time: float, flip_angle: float
) -> str | None:
    if acquisition.inversion_time_ms:
        return "T1"
    if echo_time >= 12:
        return "SWI"
    is_steady_state = repetition_time < 15 and flip_angle > 30
    return "OTHER" if is_steady_state else "T1"


def _inversion_weighting(inversion_time: float, echo_time: float) -> str | None:
    if inversion_time < 300:
        return "OTHER"
    if inversion_time >= 1400:
        return "FLAIR" if echo_time >= 60 else None
    return "T1" if echo_time < 60 else None


def _spin_weighting(echo_time: float, repetition_time: float, *, is_inverted: bool) -> str | None:
    if is_inverted:
        return "FLAIR" if repetition_time >= 4000 and echo_time >= 60 else None
    if repetition_time < 1300:
        return "T1" if echo_time <= 40 else None
    if repetition_time < 1500:
        return None
    return "T2" if echo_time >= 60 else "PD" if echo_time < 50 else None


def _combine(physics: str | None, header: str | None, acquisition: Acquisition) -> tuple[str, float]:
    if physics is None or header is None:
        known = physics or header
        return known or "OTHER", 0.2 if known is None else 0.8 if physics else 0.6
    if physics == header:
        return physics, 0.95
    if {physics, header} == {"T1", "T1C"}:
        is_said_without = _has(_NO_CONTRAST, _normalise(acquisition.text))
        return ("T1", 0.6) if is_said_without else ("T1C", 0.8)
    is_fluid_unknown = physics == "T2" and header == "FLAIR" and not acquisition.inversion_time_ms
    # Angiography, maps and preparation pulses without a time look like plain weightings to physics.
    if header in ("OTHER", "ADC") or is_fluid_unknown:
        return header, 0.7
    return physics, 0.4


def _normalise(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w+*]|_", " ", text).split())


def _has(pattern: str, words: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", words) is not None
