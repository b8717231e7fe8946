"""Shells of b-values, and the private elements that hold them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from stages.imaging.diffusion import b_value_s_mm2, name_shells
from stages.imaging.elements import Elements


@pytest.mark.parametrize(
    ("values", "num_shells"),
    [
        ([0, 1000], 2),
        ([974, 976], 1),
        ([0, 5, 995, 1000, 1005, 1990, 2000, 2010], 3),
        ([0, 50, 100], 3),
        ([20, 40, 60, 80], 2),
        ([], 0),
    ],
)
def test_directions_of_one_shell_share_a_name(values, num_shells):
    assert len(set(name_shells(values).values())) == num_shells


@given(st.lists(st.floats(0, 10_000)))
def test_a_shell_is_narrow_and_no_two_share_a_name(values):
    names = name_shells(values)
    assert set(names) == set(values)
    for name in names.values():
        members = [value for value in values if names[value] == name]
        assert max(members) - min(members) <= 50


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("*ep_b1000#3", 1000.0),
        ("*ep_b1500t", 1500.0),
        ("re_b0", 0.0),
        ("*ep_b0_1000", None),
        ("*tse2d1_9", None),
    ],
)
def test_the_name_of_a_sequence_of_siemens_tells_the_weighting(name, expected):
    ds = Dataset()
    ds.SequenceName = name
    assert b_value_s_mm2(Elements(ds), "SIEMENS") == expected


def test_an_element_of_another_block_is_not_read():
    ds = Dataset()
    ds.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "IS", 7)
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", 1000)
    assert b_value_s_mm2(Elements(ds), "SIEMENS") == 1000.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("form", ["<f", "<d"])
def test_a_private_weighting_that_is_not_finite_is_none(form, value):
    """As implicit transfer syntaxes leave it: bytes of an unknown kind."""
    ds = Dataset()
    block = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
    block.add_new(0x03, "UN", struct.pack(form, value))
    assert b_value_s_mm2(Elements(ds), "PHILIPS") is None
    block.add_new(0x03, "UN", struct.pack(form, 1000.0))
    assert b_value_s_mm2(Elements(ds), "PHILIPS") == 1000.0
