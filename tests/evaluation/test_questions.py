import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.labels import Labels
from stages.evaluation.questions import KINDS, Studies, balance, draw_questions, find_answers
from stages.pretraining.phrases import Question, Wordings

PRESENCE, SIDE, SITE = (Question(kind, "infarct") for kind in ("presence", "side", "site"))
SIGNAL = Question("signal", "infarct", "DWI")
QUESTIONS = (PRESENCE, SIDE, SITE, SIGNAL)
WORDINGS = {question: Wordings((0, 1), (2, 3)) for question in QUESTIONS}


def lesion(study, side="left", site="thalamus", finding="infarct", **signals):
    said = [{"sequence": sequence, "signal": signal} for sequence, signal in signals.items()]
    return {"study_id": study, "finding": finding, "side": side, "site": site, "signals": said}


def studies(count, split="train", sequences=("T1", "DWI"), name="s"):
    ids = [f"{name}{number}" for number in range(count)]
    own = [split] * count if isinstance(split, str) else list(split)
    return Studies(ids, ids, own, [[number] for number in range(count)], [frozenset(sequences)] * count)


def answers_of(lesions, count=1, labels=None, **about):
    known = labels or Labels(["infarct"], {})
    return find_answers(QUESTIONS, studies(count, **about), known, lesions)


def test_presence_comes_from_labels_and_unknown_ones_are_not_asked():
    labels = Labels(["infarct"], {"s0": np.array([1.0]), "s1": np.array([0.0]), "s2": np.array([np.nan])})
    assert answers_of([], 4, labels)[PRESENCE] == {0: "yes", 1: "no"}


def test_a_finding_without_labels_is_not_asked_for():
    assert answers_of([], 2, Labels(["mass"], {"s0": np.array([1.0])}))[PRESENCE] == {}


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        (["left"], "left"),
        (["left", "left"], "left"),
        (["left", "right"], "bilateral"),
        (["bilateral", "right"], "bilateral"),
        (["midline"], "midline"),
        (["midline", "left"], None),
        ([None], None),
        (["left", None], None),
    ],
)
def test_sides(sides, expected):
    found = answers_of([lesion("s0", side) for side in sides])[SIDE]
    assert found == ({} if expected is None else {0: expected})


def test_a_study_with_lesions_in_two_places_is_not_asked_where():
    lesions = [lesion("s0"), lesion("s0", site="insula"), lesion("s1", site="insula"), lesion("s2", finding="mass")]
    assert answers_of(lesions, 3)[SITE] == {1: "insula"}


def test_signals_are_asked_where_lesions_agree_and_the_encoder_sees_the_sequence():
    lesions = [lesion("s0", DWI="high"), lesion("s1", DWI="high"), lesion("s1", DWI="iso"), lesion("s2", T1="low")]
    lesions += [lesion("s3", DWI="null"), lesion("unknown", DWI="high")]
    assert answers_of(lesions, 4)[SIGNAL] == {0: "high"}
    assert answers_of(lesions, 4, sequences=("T1",))[SIGNAL] == {}


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(0, 5))
def test_every_answer_is_kept_equally_often(letters, seed):
    kept = balance(dict(enumerate(letters)), None, np.random.default_rng(seed))
    counts = [list(kept.values()).count(letter) for letter in set(kept.values())]
    assert len(set(counts)) <= 1
    assert len(counts) != 1
    assert all(letters[study] == answer for study, answer in kept.items())
    if len(set(letters)) > 1:
        assert len(kept) >= 2 * sorted(map(letters.count, set(letters)))[-2]


def drawn(name="s", num_studies=240):
    random = np.random.default_rng(1)
    splits = random.choice(["train", "test"], num_studies)
    lesions = [
        lesion(f"{name}{study}", random.choice(["left", "right"], p=[0.8, 0.2]), random.choice(["a", "b", "c"]),
               DWI=random.choice(["high", "iso", "low"], p=[0.7, 0.2, 0.1]))
        for study in range(0, num_studies, 2)
    ]  # fmt: skip
    labels = Labels(["infarct"], {f"{name}{study}": np.array([study % 2]) for study in range(num_studies)})
    own = studies(num_studies, splits, name=name)
    return draw_questions(find_answers(QUESTIONS, own, labels, lesions), WORDINGS, own.splits, seed=3), splits


def test_a_blind_classifier_stays_at_chance():
    """Whatever a guesser knows of the questions in training, it expects no more than its share of answers."""
    asked, splits = drawn()
    is_train = splits[asked.study_Q] == "train"
    for question in range(len(QUESTIONS)):
        here = asked.question_Q == question
        learned, tested = asked.answer_Q[here & is_train], asked.answer_Q[here & ~is_train]
        assert len(np.unique(np.unique(learned, return_counts=True)[1])) == 1
        assert set(tested) <= set(learned)
        accuracies = [np.mean(tested == guess) for guess in set(learned)]
        assert set(accuracies) <= {0, 1 / len(set(tested))}
        assert np.mean(accuracies) == pytest.approx(asked.chance_Q[here & ~is_train].mean())


def test_questions_are_asked_in_held_out_words_about_answers_of_their_kind():
    asked, _ = drawn()
    assert set(asked.phrase_Q) == {2, 3}
    possible = asked.vocabulary.is_possible
    assert possible[asked.kinds, asked.answer_Q].all()
    assert (possible.sum(axis=0) == 1).all()
    assert {KINDS[kind] for kind in asked.kinds} == set(KINDS)


def test_draws_depend_neither_on_ids_nor_on_hashing():
    asked, _ = drawn()
    other, _ = drawn(name=f"{zlib.crc32(b'other')}x")
    for column in ("question_Q", "study_Q", "answer_Q", "phrase_Q"):
        np.testing.assert_array_equal(getattr(asked, column), getattr(other, column))


def test_nothing_is_asked_where_only_one_answer_occurs():
    answers = {PRESENCE: {0: "yes", 1: "yes"}, SIDE: {0: "left", 1: "right"}}
    asked = draw_questions(answers, WORDINGS, ["train", "train"], seed=0)
    assert [asked.questions[number].kind for number in asked.question_Q] == ["side", "side"]
    assert len(draw_questions({PRESENCE: {}}, WORDINGS, ["train"], seed=0)) == 0
