"""Identifiers are cut so that reports can be searched for them, and no common word goes with them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts.identity import MAX_NGRAM, SiteKey, tokenise
from stages.imaging.dicom import Identity
from stages.imaging.identifiers import date_ngrams, identifier_rows, name_ngrams, number_ngrams, place_ngrams

KEY = SiteKey(bytes(range(32)))


def words(*ngrams: str) -> set[tuple[str, ...]]:
    return {tuple(ngram.split()) for ngram in ngrams}


def test_names_in_both_orders_and_by_part():
    assert name_ngrams("Quillfeather^Zebulon^J^^Dr") >= words(
        "quillfeather", "zebulon", "quillfeather zebulon", "zebulon quillfeather", "quillfeather zebulon j"
    )
    assert not name_ngrams("Quillfeather^Zebulon^J^^Dr") & words("j", "dr")


def test_short_name_parts_are_only_found_together():
    assert name_ngrams("Wu^Li") == words("wu li", "li wu")


def test_han_names_are_cut_into_two_to_four_characters():
    ngrams = name_ngrams("Wang^Xiaodong=王^小东")
    assert ngrams >= words("wang xiaodong", "xiaodong wang", "王 小 东", "小 东", "王 小")
    assert ("王",) not in ngrams


def test_numbers_whole_and_by_their_digits():
    assert number_ngrams("MRN-0012345") == words("mrn 0012345", "0012345")
    assert number_ngrams("12") == set()


def test_common_words_of_institutions_stay_readable():
    ngrams = place_ngrams("General Hospital of Mirkwater")
    assert ngrams >= words("mirkwater", "general hospital of mirkwater", "of mirkwater")
    assert not ngrams & words("hospital", "general", "general hospital", "of")
    han = place_ngrams("协和肿瘤医院")
    assert han >= words("协 和 肿", "肿 瘤 医 院")
    assert ("肿", "瘤") not in han


@pytest.mark.parametrize("date", ["19310712", "1931.07.12"])
def test_dates_in_iso_form(date):
    assert date_ngrams(date) == words("1931 07 12", "19310712")


def test_no_date_is_no_ngram():
    assert date_ngrams("") == date_ngrams("unknown") == set()


@settings(deadline=None)
@given(st.text(max_size=64))
def test_any_name_gives_ngrams_of_its_own_tokens(name):
    tokens = {token.text for token in tokenise(name)}
    for cut in (name_ngrams, number_ngrams, place_ngrams):
        for ngram in cut(name):
            assert 0 < len(ngram) <= MAX_NGRAM
            assert set(ngram) <= tokens


def test_rows_hold_hashes_only_and_each_once():
    identity = Identity(
        study_uid="1.2", series_uid="1.3", accession_number="ACZ90817263", issuer="", patient_id="QX-7734521",
        patient_names=("Quillfeather^Zebulon", "Quillfeather^Zebulon^J"), other_names=(), other_ids=(),
        institution="", birth_date="19310712", study_date="", study_description="",
    )  # fmt: skip
    rows = identifier_rows(KEY, "s" * 16, [identity, identity])
    assert len({row["hmac"] for row in rows}) == len(rows)
    assert {row["kind"] for row in rows} == {"name", "patient_id", "accession", "birth_date"}
    assert KEY.ngram_id(["zebulon"]) in {row["hmac"] for row in rows}
    assert "zebulon" not in str(rows)


def test_what_stands_elsewhere_in_the_header_is_cut_by_its_kind():
    identity = Identity(
        study_uid="1.2", series_uid="1.3", accession_number="", issuer="", patient_id="", patient_names=(),
        other_names=(), other_ids=(), institution="", birth_date="", study_date="", study_description="",
        others=(
            ("date", "20190923"), ("number", "RPX880142"), ("number", "1000"), ("other_name", "Pemberly^Thaddeus"),
            ("place", "17 Thornapple Crescent of the Lake"),
        ),
    )  # fmt: skip
    hashes = {row["hmac"] for row in identifier_rows(KEY, "s" * 16, [identity])}
    for tokens in ("880142", "rpx 880142", "pemberly", "thaddeus pemberly", "17 thornapple", "2019 09 23"):
        assert KEY.ngram_id(tokens.split()) in hashes
    for tokens in ("1000", "of the", "lake", "the"):
        assert KEY.ngram_id(tokens.split()) not in hashes
