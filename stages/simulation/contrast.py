"""Contrast: how tissues and lesions look in each sequence, by the textbook signal equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.simulation.anatomy import TISSUES


@dataclass(frozen=True)
class Matter:
    """What magnetic resonance sees of one tissue.

    Attributes:
        proton_density: relative to water.
        t1_ms: longitudinal relaxation at 3 T.
        t2_ms: transverse relaxation in a spin echo.
        t2_star_ms: transverse relaxation in a gradient echo.
        adc_um2_ms: apparent diffusion coefficient, 10⁻³ mm²/s.
        uptake_mm: contrast agent taken up, mmol/L.
        is_watery: T1 does not grow with the field.
    """

    proton_density: float
    t1_ms: float
    t2_ms: float
    t2_star_ms: float
    adc_um2_ms: float
    uptake_mm: float = 0.0
    is_watery: bool = False


# Typical adult values at 3 T, rounded from the literature; effective T2 as seen in fast spin echo.
MATTER: Mapping[str, Matter] = {
    "gm": Matter(0.82, 1400, 95, 60, 0.85),
    "wm": Matter(0.70, 850, 75, 50, 0.75),
    "csf": Matter(1.00, 4000, 1200, 800, 3.00, is_watery=True),
    "bone": Matter(0.12, 900, 12, 2, 0.10),
    "scalp": Matter(0.60, 450, 65, 30, 0.05, is_watery=True),
    "dura": Matter(0.60, 1000, 55, 30, 0.60, uptake_mm=0.15),
    "acute_infarct": Matter(0.87, 1550, 135, 80, 0.40),
    "gliosis": Matter(0.84, 1450, 140, 80, 1.15),
    "cavity": Matter(0.98, 3500, 900, 500, 2.70, is_watery=True),
    "acute_blood": Matter(0.80, 1250, 42, 9, 0.60),
    "subacute_blood": Matter(0.92, 380, 170, 35, 0.80),
    "haemosiderin": Matter(0.50, 1050, 22, 5, 0.60),
    "tumour": Matter(0.87, 1700, 145, 75, 1.20),
    "tumour_rim": Matter(0.84, 1400, 115, 60, 0.95, uptake_mm=0.30),
    "necrosis": Matter(0.95, 2900, 380, 200, 2.00),
    "meningioma": Matter(0.85, 1450, 108, 60, 0.72, uptake_mm=0.40),
    "metastasis": Matter(0.85, 1500, 120, 60, 0.85, uptake_mm=0.32),
    "oedema": Matter(0.90, 1600, 165, 95, 1.50),
    "demyelination": Matter(0.86, 1400, 150, 85, 1.10),
}

_RELAXIVITY_PER_S_MM = 4.5
_T1_FIELD_EXPONENT = 0.33
_WATER_T1_MS = 4000.0
SEQUENCES = ("T1", "T2", "FLAIR", "DWI", "ADC", "SWI", "T1C")


@dataclass(frozen=True)
class Protocol:
    """Acquisition parameters of one series, as its DICOM header states them."""

    sequence: str
    field_t: float
    repetition_time_ms: float
    echo_time_ms: float
    inversion_time_ms: float | None = None
    b_value_s_mm2: float | None = None


def draw_protocol(sequence: str, field_t: float, rng: np.random.Generator) -> Protocol:
    """Draw plausible acquisition parameters for a sequence."""
    vary = rng.uniform(0.92, 1.08, size=2)
    if sequence == "FLAIR":
        repetition_time = round(9000 * vary[0])
        nulling = _WATER_T1_MS * (np.log(2) - np.log1p(np.exp(-repetition_time / _WATER_T1_MS)))
        return Protocol(sequence, field_t, repetition_time, round(115 * vary[1], 1), round(nulling * vary[1] ** 0.3))
    if sequence in ("DWI", "ADC"):
        return Protocol(sequence, field_t, round(5200 * vary[0]), round(84 * vary[1], 1), None, 1000.0)
    if sequence == "SWI":
        return Protocol(sequence, field_t, round(700 * vary[0]), round(22 * vary[1], 1))
    if sequence == "T2":
        return Protocol(sequence, field_t, round(4800 * vary[0]), round(98 * vary[1], 1))
    if rng.random() < 0.25:
        return Protocol(sequence, field_t, round(2000 * vary[0]), round(3.0 * vary[1], 2), round(900 * vary[1]))
    return Protocol(sequence, field_t, round(500 * vary[0]), round(10 * vary[1], 1))


def signal(matter: Matter, protocol: Protocol) -> float:
    """Signal of a tissue in a sequence, relative to fully relaxed water.

    Spin echo PD·(1 − e^(−TR/T1))·e^(−TE/T2); inversion recovery
    PD·|1 − 2e^(−TI/T1) + e^(−TR/T1)|·e^(−TE/T2); diffusion weighting multiplies by e^(−b·ADC).
    An ADC series holds the coefficient itself, in 10⁻³ mm²/s.
    """
    if protocol.sequence == "ADC":
        return matter.adc_um2_ms
    t1_ms = _t1_ms(matter, protocol)
    t2_ms = matter.t2_star_ms if protocol.sequence == "SWI" else matter.t2_ms
    recovered = np.exp(-protocol.repetition_time_ms / t1_ms)
    if protocol.inversion_time_ms is None:
        longitudinal = 1 - recovered
    else:
        longitudinal = abs(1 - 2 * np.exp(-protocol.inversion_time_ms / t1_ms) + recovered)
    value = matter.proton_density * longitudinal * np.exp(-protocol.echo_time_ms / t2_ms)
    if protocol.b_value_s_mm2 is not None:
        value *= np.exp(-protocol.b_value_s_mm2 * matter.adc_um2_ms * 1e-3)
        # echo-planar diffusion imaging suppresses fat
        value *= 0.1 if matter is MATTER["scalp"] else 1.0
    return float(value)


def tissue_signals(protocol: Protocol) -> np.ndarray:
    """Signals of the tissues of the template, in their order. Shape (C,)."""
    return np.array([signal(MATTER[name], protocol) for name in TISSUES], dtype=np.float32)


def brain_signal(protocol: Protocol) -> float:
    """Signal of normal brain that a lesion is compared with: halfway between grey and white matter."""
    return 0.5 * (signal(MATTER["gm"], protocol) + signal(MATTER["wm"], protocol))


def _t1_ms(matter: Matter, protocol: Protocol) -> float:
    scale = 1.0 if matter.is_watery else (protocol.field_t / 3.0) ** _T1_FIELD_EXPONENT
    rate_per_s = 1000 / (matter.t1_ms * scale)
    if protocol.sequence == "T1C":
        rate_per_s += _RELAXIVITY_PER_S_MM * matter.uptake_mm
    return 1000 / rate_per_s
