import json

import numpy as np
import pytest

from stages.pretraining.vocabulary import BEGIN, END, NUM_SPECIAL, PADDING, UNKNOWN, Vocabulary

TEXTS = [
    "Infarct in the left thalamus, 2.7 cm, bright on T2-weighted and FLAIR images.\nNo haemorrhage.",
    "No infarct, no haemorrhage.\nCyst (extra-axial).\nNo mass.",
]


def test_words_are_numbered_by_count_then_alphabet_with_punctuation_among_them():
    vocabulary = Vocabulary.build(TEXTS, min_count=2)
    assert vocabulary.words == (".", "no", ",", "haemorrhage", "infarct")
    assert len(vocabulary) == NUM_SPECIAL + 5
    assert Vocabulary.build(reversed(TEXTS), min_count=2).words == vocabulary.words


def test_tokens_begin_end_and_are_padded_and_rare_words_are_unknown():
    vocabulary = Vocabulary.build(TEXTS, min_count=2)
    token_BL = vocabulary.encode(["No mass.", "Infarct, no haemorrhage."], max_tokens=20)
    assert token_BL.dtype == np.int64
    expected = [
        [BEGIN, 5, UNKNOWN, 4, END, PADDING, PADDING],
        [BEGIN, 8, 6, 5, 7, 4, END],
    ]
    assert token_BL.tolist() == expected


def test_a_text_that_does_not_fit_is_cut_off_without_an_end():
    vocabulary = Vocabulary.build(TEXTS, min_count=1)
    token_BL = vocabulary.encode(TEXTS, max_tokens=6)
    assert token_BL.shape == (2, 6)
    assert END not in token_BL
    assert END in vocabulary.encode(["No mass."], max_tokens=6)[0]


def test_known_texts_come_back_as_they_were_written():
    vocabulary = Vocabulary.build(TEXTS, min_count=1)
    assert vocabulary.decode(vocabulary.encode(TEXTS, max_tokens=60)) == TEXTS


def test_words_in_capitals_stay_so_and_only_sentences_begin_with_a_capital():
    vocabulary = Vocabulary.build(["FLAIR shows it.\nT2 does.\nFLAIR too.\nThe MRI.\nThe end."], min_count=1)
    written = vocabulary.decode(vocabulary.encode(["the mri shows t2. FLAIR the end."], max_tokens=20))
    assert written == ["The MRI shows T2.\nFLAIR the end."]


def test_han_characters_are_tokens_and_are_joined_without_spaces():
    texts = ["左侧丘脑出血，T2低信号。\n未见梗死。"]
    vocabulary = Vocabulary.build(texts, min_count=1)
    assert "丘" in vocabulary.words
    [written] = vocabulary.decode(vocabulary.encode(texts, max_tokens=40))
    assert written.replace(" ", "") == texts[0]


def test_what_stands_after_the_end_and_special_tokens_are_not_written():
    vocabulary = Vocabulary(["no", "mass", "."])
    assert vocabulary.decode(np.array([[BEGIN, 4, UNKNOWN, 5, 6, END, 5], [BEGIN, END, 0, 0, 0, 0, 0]])) == [
        "No mass.",
        "",
    ]


def test_it_survives_json():
    vocabulary = Vocabulary.build(TEXTS, min_count=1)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.words == vocabulary.words
    np.testing.assert_array_equal(again.encode(TEXTS, 30), vocabulary.encode(TEXTS, 30))


def test_words_that_differ_by_case_only_are_refused():
    with pytest.raises(ValueError, match="expected each once"):
        Vocabulary(["No", "no"])


def test_no_texts_give_no_rows():
    assert Vocabulary.build([], min_count=1).encode([], max_tokens=5).shape == (0, 0)


def test_a_word_that_one_patient_writes_often_is_not_known():
    texts = ["no Meier Meier Meier", "no mass", "no mass"]
    assert Vocabulary.build(texts, 2, owners=["a", "a", "b"]).words == ("no", "mass")
    assert "meier" in {word.lower() for word in Vocabulary.build(texts, 2).words}
