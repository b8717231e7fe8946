"""Sequence rules: typical protocols, and what must hold for any numbers and any text."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts.imaging_tables import SEQUENCES
from stages.imaging.sequences import Acquisition, identify, sequence_by_header, sequence_by_physics

TIMES = st.none() | st.floats(0, 20_000, allow_nan=False)
CODES = st.lists(st.sampled_from(["SE", "GR", "IR", "EP", "RM"]), max_size=3, unique=True).map(tuple)
ACQUISITIONS = st.builds(
    Acquisition,
    echo_time_ms=TIMES,
    repetition_time_ms=TIMES,
    inversion_time_ms=TIMES,
    flip_angle_deg=st.none() | st.floats(0, 180, allow_nan=False),
    b_value_s_mm2=st.none() | st.floats(0, 5000, allow_nan=False),
    scanning_sequence=CODES,
    image_type=st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "M", "DIFFUSION", "DERIVED"]), max_size=4).map(tuple),
    contrast_agent=st.sampled_from(["", "NONE", "gadobutrol"]),
    is_angiography=st.booleans(),
    text=st.text(max_size=40) | st.sampled_from(["t1_se_tra", "Ax T2 FLAIR", "ADC", "DWI b1000", "SWI", "T1 +C"]),
)

# Typical protocols: TE, TR, TI, flip angle, b-value, codes.
PROTOCOLS = {
    "T1 spin echo": ("T1", (12, 550, None, 90, None, ("SE",))),
    "T1 turbo inversion recovery": ("T1", (22, 2500, 860, 150, None, ("SE", "IR"))),
    "T1 MPRAGE": ("T1", (2.9, 2300, 900, 9, None, ("GR", "IR"))),
    "T1 BRAVO": ("T1", (3.2, 8.2, 450, 12, None, ("GR",))),
    "T1 FLASH": ("T1", (4.1, 250, None, 70, None, ("GR",))),
    "T2 turbo spin echo": ("T2", (100, 5000, None, 150, None, ("SE",))),
    "PD": ("PD", (22, 2300, None, 90, None, ("SE",))),
    "FLAIR": ("FLAIR", (117, 8000, 2400, 150, None, ("SE", "IR"))),
    "3D FLAIR": ("FLAIR", (388, 5000, 1800, 120, None, ("SE", "IR"))),
    "STIR": ("OTHER", (60, 4500, 160, 150, None, ("SE", "IR"))),
    "DWI": ("DWI", (89, 4500, None, 90, 1000, ("EP",))),
    "b0": ("OTHER", (89, 4500, None, 90, 0, ("EP",))),
    "SWI": ("SWI", (20, 28, None, 15, None, ("GR",))),
    "T2* gradient echo": ("SWI", (24, 650, None, 20, None, ("GR",))),
    "balanced steady state": ("OTHER", (2.5, 5.6, None, 60, None, ("GR",))),
    "BOLD": (None, (30, 2000, None, 80, None, ("EP",))),
}

DESCRIPTIONS = {
    "t2_tirm_tra_dark-fluid": "FLAIR",
    "Ax T2 FLAIR": "FLAIR",
    "Ax T1 FLAIR": "T1",
    "t1_mprage_sag_p2_iso": "T1",
    "t1_mpr_ns_sag": "T1",
    "Sag CUBE T1 +C": "T1C",
    "T1W_SE_TRA_GD": "T1C",
    "t1_se_tra_KM": "T1C",
    "T1 增强": "T1C",
    "T1 pre contrast": "T1",
    "T2W_TSE_COR": "T2",
    "ep2d_diff_3scan_trace_p2_ADC": "ADC",
    "Apparent Diffusion Coefficient (mm2/s)": "ADC",
    "dADC_DWI": "ADC",
    "ep2d_diff_3scan_trace_p2_TRACEW": "DWI",
    "DWI_3b_b1000": "DWI",
    "横断位弥散": "DWI",
    "Ax SWAN": "SWI",
    "VEN_BOLD_TRA": "SWI",
    "ep2d_bold_moco": "OTHER",
    "SWI minIP": "OTHER",
    "t2_fl2d_tra_hemo": "SWI",
    "Ax T2* GRE": "SWI",
    "FSE PD AXIAL OBL": "PD",
    "TOF_3D_multi-slab": "OTHER",
    "localizer": "OTHER",
    "t2 posterior fossa": "T2",
    "Series 4": None,
    "": None,
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_physics_of_typical_protocols(name):
    expected, (te, tr, ti, flip, b_value, codes) = PROTOCOLS[name]
    assert sequence_by_physics(Acquisition(te, tr, ti, flip, b_value, codes)) == expected


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_words_of_series_descriptions(text):
    assert sequence_by_header(text) == DESCRIPTIONS[text]


def test_text_speaks_where_physics_cannot_see():
    flair = Acquisition(159.5, 10_002, None, 90, None, ("RM",), text="FLAIR")
    assert identify(flair).sequence == "FLAIR"
    angiography = Acquisition(3.4, 24, None, 18, None, ("GR",), text="tof_fl3d_tra")
    assert identify(angiography).sequence == "OTHER"
    assert identify(Acquisition(text="Ax T2 FSE")).sequence == "T2"


def test_physics_wins_over_a_wrong_name_with_little_confidence():
    found = identify(Acquisition(12, 550, None, 90, None, ("SE",), text="t2_tse_tra"))
    assert (found.sequence, found.by_physics, found.by_header) == ("T1", "T1", "T2")
    assert found.confidence < 0.5


@given(ACQUISITIONS)
def test_any_acquisition_gets_a_known_code(acquisition):
    found = identify(acquisition)
    assert found.sequence in SEQUENCES
    assert 0 <= found.confidence <= 1
    assert {found.by_physics, found.by_header} <= {*SEQUENCES, None}
    assert identify(acquisition) == found


@given(ACQUISITIONS)
def test_a_contrast_agent_turns_t1_into_t1c_and_changes_nothing_else(acquisition):
    without = sequence_by_physics(dataclasses.replace(acquisition, contrast_agent=""))
    with_agent = sequence_by_physics(dataclasses.replace(acquisition, contrast_agent="gadolinium"))
    assert with_agent == ("T1C" if without == "T1" else without)


@given(ACQUISITIONS, st.floats(500, 3000))
def test_strong_diffusion_weighting_is_dwi(acquisition, b_value):
    assert sequence_by_physics(dataclasses.replace(acquisition, b_value_s_mm2=b_value)) == "DWI"


@given(ACQUISITIONS)
def test_agreement_is_surer_than_conflict(acquisition):
    found = identify(acquisition)
    if found.by_physics and found.by_physics == found.by_header:
        assert (found.sequence, found.confidence) == (found.by_physics, 0.95)
    elif found.by_physics and found.by_header:
        assert found.confidence < 0.95


@given(st.text(max_size=60))
def test_header_words_do_not_depend_on_case_or_separators(text):
    ascii_text = "".join(c for c in text if c.isascii() and c.isalnum() or c == " ")
    assert sequence_by_header(ascii_text.upper()) == sequence_by_header(ascii_text.lower().replace(" ", "_"))
