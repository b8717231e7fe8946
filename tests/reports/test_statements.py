import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reports.statements import (
    ASSERTIONS,
    AssertionWeights,
    Statement,
    StatementWeights,
    encode_statements,
    is_normal,
    score_statements,
    statement_weights,
    with_normal,
)

PROPERTY = settings(deadline=None, derandomize=True)
PARENTS = {"thalamus": "deep_nuclei", "basal_ganglia": "deep_nuclei", "insula": "lobes", "sella": None, "lobes": None}
WEIGHTS = StatementWeights(finding=0.4, site=0.3, side=0.2, signal=0.1)
SIGNALS = st.dictionaries(st.sampled_from(["T1", "T2", "DWI"]), st.sampled_from(["high", "low", "iso"]), max_size=3)
STATEMENTS = st.builds(
    lambda finding, site, side, assertion, signals: Statement(
        finding, site, side, assertion, tuple(sorted(signals.items()))
    ),
    st.sampled_from(["infarct", "mass", "normal"]),
    st.sampled_from([None, *PARENTS]),
    st.sampled_from([None, "left", "right", "bilateral"]),
    st.sampled_from(ASSERTIONS),
    SIGNALS,
)


def region(site):
    return PARENTS[site] or (site if site in PARENTS.values() else None)


def slow_agreement(a, b):
    if a is None and b is None:
        return None
    if a is None or b is None:
        return 0.5
    return float(a == b)


def slow_score(a, b):
    if a.finding != b.finding:
        return 0.0
    gate = 1.0 if a.assertion == b.assertion else 0.5 if {a.assertion, b.assertion} == {"present", "uncertain"} else 0.0
    site = slow_agreement(a.site, b.site)
    if site == 0 and region(a.site) and region(a.site) == region(b.site):
        site = 0.5
    left, right = dict(a.signals), dict(b.signals)
    per_sequence = [slow_agreement(left.get(q), right.get(q)) for q in left.keys() | right.keys()]
    signal = sum(per_sequence) / len(per_sequence) if per_sequence else None
    parts = [(0.4, 1.0), (0.3, site), (0.2, slow_agreement(a.side, b.side)), (0.1, signal)]
    said = [(w, c) for w, c in parts if c is not None]
    return gate * sum(w * c for w, c in said) / sum(w for w, _ in said)


def score(*statements):
    codes = encode_statements(list(statements), PARENTS)
    return score_statements(codes, codes, WEIGHTS)


@PROPERTY
@given(st.lists(STATEMENTS, min_size=1, max_size=8))
def test_scores_are_those_of_a_slow_loop(statements):
    expected = [[slow_score(a, b) for b in statements] for a in statements]
    np.testing.assert_allclose(score(*statements), expected, atol=1e-6)


@PROPERTY
@given(st.lists(STATEMENTS, min_size=1, max_size=8))
def test_scores_are_symmetric_with_diagonal_1(statements):
    scores = score(*statements)
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_allclose(np.diag(scores), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Statement("infarct", "thalamus", "left"), 1.0),
        (Statement("infarct", "thalamus", "right"), 0.7 / 0.9),
        (Statement("infarct", "basal_ganglia", "left"), 0.75 / 0.9),  # same region
        (Statement("infarct", "insula", "left"), 0.6 / 0.9),
        (Statement("infarct", None, "left"), 0.75 / 0.9),  # one names no site
        (Statement("infarct", "thalamus", "left", "uncertain"), 0.5),
        (Statement("infarct", "thalamus", "left", "absent"), 0.0),
        (Statement("mass", "thalamus", "left"), 0.0),
        (Statement("infarct", "thalamus", "left", "present", (("DWI", "high"),)), 0.95),
    ],
)
def test_by_hand(other, expected):
    assert score(Statement("infarct", "thalamus", "left"), other)[0, 1] == pytest.approx(expected)


def test_signals_count_within_the_same_sequence_only():
    high_on_t2 = Statement("infarct", signals=(("T2", "high"),))
    low_on_t2 = Statement("infarct", signals=(("T2", "low"),))
    low_on_t1 = Statement("infarct", signals=(("T1", "low"),))
    scores = score(high_on_t2, low_on_t2, low_on_t1)
    assert scores[0, 1] == pytest.approx(0.4 / 0.5)
    assert scores[0, 2] == pytest.approx(0.45 / 0.5)


def test_uncertain_against_absent_is_nothing():
    assert score(Statement("mass", assertion="uncertain"), Statement("mass", assertion="absent"))[0, 1] == 0


def test_sites_without_a_region_are_not_related():
    assert score(Statement("mass", "sella"), Statement("mass", "insula"))[0, 1] == pytest.approx(0.4 / 0.7)


def test_negatives_hardly_count():
    codes = encode_statements([Statement("mass", assertion=assertion) for assertion in ASSERTIONS], PARENTS)
    np.testing.assert_allclose(statement_weights(codes, AssertionWeights()), [1, 0.5, 0.1])


def test_a_text_of_negations_is_normal():
    negations = [Statement("mass", assertion="absent"), Statement("infarct", assertion="absent")]
    assert is_normal(negations)
    assert with_normal(negations)[2:] == [Statement("normal")]
    assert not is_normal([])
    assert with_normal([]) == []
    assert not is_normal([*negations, Statement("mass", assertion="uncertain")])


@PROPERTY
@given(STATEMENTS)
def test_flipping_twice_gives_the_statement_back(statement):
    assert statement.flip().flip() == statement


def test_a_text_about_a_sequence_keeps_the_signals_in_it():
    both = Statement("mass", signals=(("T1", "low"), ("T2", "high")))
    assert both.within("T2").signals == (("T2", "high"),)
    assert both.within(None) == both
