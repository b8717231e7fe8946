import math
from collections import Counter

import pytest

from stages.evaluation.text_metrics import TextMetrics, words_of

REFERENCES = [
    "Acute infarct in the left thalamus.\nNo haemorrhage.",
    "No acute infarct, no haemorrhage, no mass.",
    "Mass in the right frontal lobe with oedema.",
    "Normal brain.",
]
WRITTEN = [
    "Acute infarct in the right thalamus.\nNo haemorrhage.",
    "No mass, no acute infarct.",
    "mass in the right frontal lobe with oedema",
    "No mass.",
]
METRICS = TextMetrics(REFERENCES)


def slow_cider(text, reference, corpus):
    """CIDEr-D for one reference, by its equations."""

    def grams(words, n):
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    own, other = words_of(text), words_of(reference)
    total = 0.0
    for n in range(1, 5):
        documents = [set(grams(words_of(one), n)) for one in corpus]

        def weigh(words, n=n, documents=documents):
            counts = grams(words, n)
            frequency = {gram: max(1, sum(gram in document for document in documents)) for gram in counts}
            return {gram: counts[gram] * math.log(len(corpus) / frequency[gram]) for gram in counts}

        left, right = weigh(own), weigh(other)
        norms = [math.sqrt(sum(value**2 for value in side.values())) for side in (left, right)]
        product = sum(min(left[gram], right[gram]) * right[gram] for gram in left if gram in right)
        total += product / (norms[0] * norms[1]) if all(norms) else 0.0
    return 10 * total / 4 * math.exp(-((len(own) - len(other)) ** 2) / 72)


def test_words_are_lower_case_without_punctuation():
    assert words_of("FLAIR: 2.7 cm, non-specific (T2/FLAIR).") == ["flair", "2.7", "cm", "non-specific", "t2", "flair"]


def test_cider_is_that_of_pycocoevalcap():
    # Cider().compute_score of pycocoevalcap 1.2 on these words.
    expected = [4.9830827067669174, 4.233177251008165, 10.0, 0.0]
    got = [METRICS.score(text, own)["cider"] for text, own in zip(WRITTEN, REFERENCES, strict=True)]
    assert got == pytest.approx(expected)


def test_cider_is_the_slow_reference():
    for text in WRITTEN:
        for reference in REFERENCES:
            expected = slow_cider(text, reference, REFERENCES)
            assert METRICS.score(text, reference)["cider"] == pytest.approx(expected, abs=1e-9)


def test_bleu_and_rouge_are_those_computed_by_hand():
    # 8 words, 7 of them right; 5 of 7 pairs, 3 of 6 triples, 1 of 5 quadruples; longest common subsequence 7.
    values = METRICS.score(WRITTEN[0], REFERENCES[0])
    precisions = [7 / 8, 5 / 7, 3 / 6, 1 / 5]
    for n in range(1, 5):
        expected = math.prod(precisions[:n]) ** (1 / n)
        assert values[f"bleu_{n}"] == pytest.approx(expected)
    assert values["rouge_l"] == pytest.approx(7 / 8)


def test_short_texts_are_penalised_and_missing_n_grams_count_a_tenth():
    values = METRICS.score("No mass.", REFERENCES[1])
    brevity = math.exp(1 - 7 / 2)
    assert values["bleu_1"] == pytest.approx(brevity)
    assert values["bleu_3"] == pytest.approx(brevity * (1 * 1 * 0.1) ** (1 / 3), rel=0.2)


def test_meteor_knows_words_and_stems_but_no_synonyms():
    exact = METRICS.score("small lesions", "small lesions")["meteor"]
    stemmed = METRICS.score("small lesion", "small lesions")["meteor"]
    synonym = METRICS.score("little lesions", "small lesions")["meteor"]
    assert exact == stemmed > synonym
    # Precision and recall 1, one chunk of two matches: penalty 0.5 (1 / 2)^3.
    assert exact == pytest.approx(1 - 0.5 / 8)


def test_a_text_equals_itself_and_nothing_scores_nothing():
    values = METRICS.score(REFERENCES[2], REFERENCES[2])
    assert values["bleu_4"] == values["rouge_l"] == 1
    assert values["cider"] == pytest.approx(10)
    assert set(METRICS.score("", REFERENCES[2]).values()) == {0.0}
