import numpy as np
import pytest

from stages.simulation.contrast import MATTER, SEQUENCES, Protocol, brain_signal, draw_protocol, signal


@pytest.fixture
def protocols():
    rng = np.random.default_rng(3)
    return {name: draw_protocol(name, 3.0, rng) for name in SEQUENCES}


def test_spin_echo_by_hand():
    protocol = Protocol("T2", 3.0, 5000, 100)
    expected = 0.82 * (1 - np.exp(-5000 / 1400)) * np.exp(-100 / 95)
    assert signal(MATTER["gm"], protocol) == pytest.approx(expected)


@pytest.mark.parametrize("field_t", [1.5, 3.0])
def test_flair_nulls_fluid(field_t):
    protocol = draw_protocol("FLAIR", field_t, np.random.default_rng(0))
    assert signal(MATTER["csf"], protocol) < 0.5 * brain_signal(protocol)


def test_tissue_order_of_each_sequence(protocols):
    def order(sequence):
        return sorted(("gm", "wm", "csf"), key=lambda name: signal(MATTER[name], protocols[sequence]))

    assert order("T1") == ["csf", "gm", "wm"]
    assert order("T2") == ["wm", "gm", "csf"]
    assert order("FLAIR")[0] == "csf"
    assert order("DWI")[0] == "csf"
    assert order("ADC")[-1] == "csf"


@pytest.mark.parametrize(
    ("matter", "sequence", "sign"),
    [
        ("acute_infarct", "DWI", 1),
        ("acute_infarct", "ADC", -1),
        ("acute_infarct", "FLAIR", 1),
        ("gliosis", "FLAIR", 1),
        ("cavity", "FLAIR", -1),
        ("acute_blood", "T2", -1),
        ("acute_blood", "SWI", -1),
        ("subacute_blood", "T1", 1),
        ("tumour_rim", "T1", -1),
        ("tumour_rim", "T1C", 1),
        ("meningioma", "T1C", 1),
        ("oedema", "T2", 1),
    ],
)
def test_lesions_look_as_in_the_textbook(protocols, matter, sequence, sign):
    difference = signal(MATTER[matter], protocols[sequence]) - brain_signal(protocols[sequence])
    assert sign * difference > 0
