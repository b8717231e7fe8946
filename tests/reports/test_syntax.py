from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reports.syntax import character_dice, score_sentences

PROPERTY = settings(deadline=None, derandomize=True)
SENTENCES = st.lists(st.text("abc 左右梗死.", min_size=1, max_size=12), min_size=1, max_size=6)


def slow_dice(a, b, is_set):
    left, right = (Counter(set(a)), Counter(set(b))) if is_set else (Counter(a), Counter(b))
    return 2 * (left & right).total() / (left.total() + right.total())


def slow_levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, above = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return 1 - row[-1] / max(len(a), len(b))


def slow_indel(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        above, row = row, [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[-1]))
    return 2 * row[-1] / (len(a) + len(b))


@PROPERTY
@given(sentences=SENTENCES, others=SENTENCES, is_set=st.booleans())
def test_dice_is_that_of_a_slow_count(sentences, others, is_set):
    expected = [[slow_dice(a, b, is_set) for b in others] for a in sentences]
    np.testing.assert_allclose(character_dice(sentences, others, is_set=is_set), expected, atol=1e-6)


@pytest.mark.parametrize(("scorer", "slow"), [("levenshtein", slow_levenshtein), ("indel", slow_indel)])
@PROPERTY
@given(sentences=SENTENCES, others=SENTENCES)
def test_edit_scorers_are_those_of_slow_loops(scorer, slow, sentences, others):
    expected = [[slow(a, b) for b in others] for a in sentences]
    np.testing.assert_allclose(score_sentences(scorer, sentences, others), expected, atol=1e-6)


@pytest.mark.parametrize("scorer", ["dice", "levenshtein", "indel"])
@PROPERTY
@given(sentences=SENTENCES)
def test_a_list_against_itself_is_symmetric_with_diagonal_1(scorer, sentences):
    scores = score_sentences(scorer, sentences, sentences)
    np.testing.assert_allclose(scores, score_sentences(scorer, sentences, list(sentences)), atol=1e-6)
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_array_equal(np.diag(scores), 1)
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize("scorer", ["dice", "levenshtein", "indel"])
def test_a_negation_is_not_the_same_sentence(scorer):
    assert score_sentences(scorer, ["acute infarct"], ["no acute infarct"])[0, 0] < 0.95


def test_by_hand():
    assert score_sentences("dice", ["aab"], ["abb"])[0, 0] == pytest.approx(2 / 3)
    assert score_sentences("levenshtein", ["左侧梗死"], ["右侧梗死"])[0, 0] == pytest.approx(3 / 4)
    assert score_sentences("indel", ["左侧梗死"], ["右侧梗死"])[0, 0] == pytest.approx(6 / 8)
    assert character_dice(["aab"], ["abb"], is_set=True)[0, 0] == 1
