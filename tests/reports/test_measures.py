import pytest

from stages.reports.measures import sizes
from stages.reports.sentences import Sentence


def read(text, shift=0):
    return [(size.size_mm, size.is_earlier) for size in sizes(Sentence(text, shift, (), ()))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 7 mm focus", [7]),
        ("a 7-mm focus", [7]),
        ("measures 3.2 x 2.1 cm", [32]),
        ("measures 32 × 27 × 30 mm", [32]),
        ("1.5 cm x 8 mm", [15]),
        ("8 mm by 1.5 cm", [15]),
        ("12 mm (AP) x 9 mm (TR)", [12]),
        ("3-4 mm", [4]),
        ("3–4 mm foci", [4]),
        ("3 to 4 millimetres", [4]),
        ("0,8 cm", [8]),
        ("大小约2.6×1.9cm", [26]),
        ("直径约0.6厘米", [6]),
        ("长径3公分", [30]),
        ("约12㎜", [12]),
        ("18mm×15mm", [18]),
        ("2～3mm", [3]),
        ("up to 5 mm and 2 cm", [5, 20]),
        ("volume 12 ml, area 3 cm2, 4 cm²", []),
        ("contiguous 5 mm slices", []),
        ("slice thickness 5 mm", []),
        ("层厚5mm", []),
        ("the tonsils lie 4 mm below the foramen magnum", []),
        ("低于枕大孔约4mm", []),
        ("at 3 T, T2 of 2015", []),
    ],
)
def test_lengths_are_read_in_millimetres(text, expected):
    assert read(text) == [(pytest.approx(size), False) for size in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now 16 mm, previously 12 mm", [(16, False), (12, True)]),
        ("16 mm (12 mm previously)", [(16, False), (12, True)]),
        ("has decreased from 16 to 12 mm", [(16, True), (12, False)]),
        ("由12mm增大,现约16mm", [(12, False), (16, False)]),
        ("现约16mm,前片约12mm", [(16, False), (12, True)]),
        ("由12至16mm", [(12, True), (16, False)]),
        ("原发灶约3cm", [(30, False)]),
    ],
)
def test_sizes_of_an_earlier_examination_are_told_apart(text, expected):
    assert read(text) == [(pytest.approx(size), is_earlier) for size, is_earlier in expected]


def test_positions_are_those_of_the_section():
    (size,) = sizes(Sentence("a 7 mm focus", 100, (), ()))
    assert (size.start, size.end) == (102, 106)
