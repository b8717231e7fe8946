import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts import tables, tensors
from stages.artifacts.report_tables import TEXTS
from stages.reports import scoring
from stages.reports.features import TextFeatures, TextStatements
from stages.reports.matching import Bags, best_match, mean_match
from stages.reports.scoring import SimilarityParams, TextScorer
from stages.reports.similarity import BatchSimilarity
from stages.reports.sparse import keep_all, keep_best
from stages.reports.statements import Statement

PROPERTY = settings(deadline=None, derandomize=True)
INFARCT = Statement("infarct", "thalamus", "left", "present", (("DWI", "high"),))
MASS = Statement("mass", "insula", "right")
NO_BLEED = Statement("haemorrhage", assertion="absent")
NORMAL = Statement("normal")
CONVEX = {"mix": "convex", "statements": 0.6, "syntax": 0.2, "embedding": 0.2}
MIXES = [
    CONVEX,
    {"mix": "product", "scorer": "indel"},
    {"mix": "statements"},
    {"mix": "syntax", "scorer": "dice"},
    {"mix": "syntax", "scorer": "levenshtein"},
    {"mix": "embedding"},
]
SENTENCES = {
    "Acute infarct in the left thalamus.": INFARCT,
    "Mass in the right insula.": MASS,
    "No haemorrhage.": NO_BLEED,
    "Normal brain.": NORMAL,
    "Orbits included.": None,
}
TEXT = st.lists(st.sampled_from(list(SENTENCES)), min_size=1, max_size=4, unique=True)


def as_row(statement):
    signals = [{"sequence": sequence, "signal": signal} for sequence, signal in statement.signals]
    return {**statement._asdict(), "signals": signals}


def text_row(number, sentences, language="en", *, is_flipped=False):
    return {
        "text_id": number, "unit": "study", "sequence": None, "language": language, "row": number,
        "text": "\n".join(sentences), "english_text": "\n".join(sentences), "flipped_text_id": number,
        "is_flipped": is_flipped, "num_studies": int(not is_flipped),
    }  # fmt: skip


def collect(texts):
    """Rows, embeddings and statements of texts given as (language, [(sentence, statement or None)])."""
    rows = [text_row(number, [words for words, _ in said], language) for number, (language, said) in enumerate(texts)]
    findings = [as_row(s) for _, said in texts for _, s in said if s]
    lines = [line for _, said in texts for line, (_, s) in enumerate(said) if s]
    offsets = np.cumsum([0, *(sum(s is not None for _, s in said) for _, said in texts)])
    index = {"statement_offsets": offsets, "statement_rows": np.arange(len(findings)), "statement_lines": lines}
    index = {name: np.asarray(values) for name, values in index.items()}
    return rows, embed(rows), TextStatements.collect(rows, index, findings, {"thalamus": "deep", "insula": "lobes"})


def embed(rows):
    """A vector that depends on the sentences of a text, not on their order."""
    means = [
        np.mean([np.random.default_rng(sum(map(ord, s))).normal(size=8) for s in row["text"].split("\n")], axis=0)
        for row in rows
    ]
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float16)


def scorer_of(texts, **params):
    return TextScorer(TextFeatures.build(*collect(texts)), SimilarityParams(**params))


def similarity(*texts, **params):
    every = np.arange(len(texts))
    return scorer_of(list(texts), **params).block(every, every)


def english(*sentences):
    return "en", [(sentence, SENTENCES[sentence]) for sentence in sentences]


def random_texts(count, seed=5):
    random = np.random.default_rng(seed)
    words = ["acute", "old", "small", "large", "patchy", "bright", "faint", "cortical"]
    bodies = list(SENTENCES)
    texts = []
    for _ in range(count):
        chosen = random.choice(bodies, random.integers(1, 4), replace=False)
        texts.append(("en", [(f"{random.choice(words)} {body}", SENTENCES[body]) for body in chosen]))
    return texts


@PROPERTY
@given(scores=st.integers(0, 2**32 - 1), bags=st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=5))
def test_best_match_is_that_of_a_slow_loop(scores, bags):
    score = np.random.default_rng(scores).random((7, 7)).astype(np.float32)
    score = (score + score.T) / 2
    pi = np.linspace(0.1, 1, 7)
    built = Bags.from_lists(bags, pi)
    expected = np.zeros((len(bags), len(bags)))
    for i, a in enumerate(map(set, bags)):
        for j, b in enumerate(map(set, bags)):
            if a and b:
                forth = sum(pi[x] * max(score[x, y] for y in b) for x in a) / sum(pi[x] for x in a)
                back = sum(pi[y] * max(score[x, y] for x in a) for y in b) / sum(pi[y] for y in b)
                expected[i, j] = (forth + back) / 2
    np.testing.assert_allclose(best_match(score, built, built), expected, atol=1e-5)
    texts = np.arange(len(bags))
    part, used = built.take(texts[::-1])
    np.testing.assert_allclose(best_match(score[used], part, built), expected[::-1], atol=1e-5)


def test_mean_match_by_hand():
    score = np.array([[1.0, 0.2], [0.2, 1.0]], dtype=np.float32)
    bags = Bags.from_lists([[0, 1], [0, 0]], np.ones(2), is_unique=False)
    np.testing.assert_allclose(mean_match(score, bags, bags), [[0.6, 0.6], [0.6, 1.0]], atol=1e-6)


@pytest.mark.parametrize("params", MIXES, ids=lambda p: p["mix"] + p.get("scorer", ""))
@settings(PROPERTY, max_examples=40)
@given(texts=st.lists(TEXT, min_size=2, max_size=5))
def test_symmetric_in_unit_range_diagonal_1_and_blind_to_order(params, texts):
    scores = similarity(*(english(*text) for text in texts), **params)
    np.testing.assert_allclose(scores, scores.T, atol=1e-6)
    np.testing.assert_array_equal(np.diag(scores), 1)
    assert scores.min() >= 0
    assert scores.max() <= 1
    reordered = similarity(english(*reversed(texts[0])), *(english(*text) for text in texts[1:]), **params)
    np.testing.assert_allclose(reordered, scores, atol=1e-5)


@pytest.mark.parametrize("params", MIXES, ids=lambda p: p["mix"] + p.get("scorer", ""))
def test_swapped_sentences_are_the_same_report(params):
    sentences = ["Acute infarct in the left thalamus.", "No haemorrhage.", "Orbits included."]
    other = english("Mass in the right insula.")
    assert similarity(english(*sentences), english(*sentences[::-1]), other, **params)[0, 1] == pytest.approx(
        1, abs=1e-3
    )


def test_statements_by_hand():
    scores = similarity(
        english("Acute infarct in the left thalamus.", "No haemorrhage."),
        english("Acute infarct in the left thalamus."),
        english("Mass in the right insula.", "No haemorrhage."),
        mix="statements",
    )
    assert scores[0, 1] == pytest.approx((1 / 1.1 + 1) / 2)
    assert scores[0, 2] == pytest.approx(0.1 / 1.1)
    assert scores[1, 2] == 0


def test_normal_reports_are_alike_however_they_say_it():
    scores = similarity(
        english("Normal brain."),
        english("No haemorrhage."),
        english("Mass in the right insula.", "No haemorrhage."),
        mix="statements",
    )
    assert scores[0, 1] == 1
    assert scores[1, 2] < 0.1


def test_a_text_without_statements_is_compared_by_its_embedding():
    texts = [english("Orbits included."), english("Normal brain."), english("No haemorrhage.")]
    by_statements, by_embedding = similarity(*texts, mix="statements"), similarity(*texts, mix="embedding")
    np.testing.assert_allclose(by_statements[0], by_embedding[0])
    assert by_statements[1, 2] == 1 != by_embedding[1, 2]


def test_convex_and_product_by_hand():
    texts = [english(*sentences) for sentences in (list(SENTENCES)[:2], list(SENTENCES)[1:3], list(SENTENCES)[2:4])]
    statements = similarity(*texts, mix="statements")
    syntax = similarity(*texts, mix="syntax")
    embedding = similarity(*texts, mix="embedding")
    expected = 0.6 * statements + 0.2 * syntax + 0.2 * embedding
    np.testing.assert_allclose(similarity(*texts, **CONVEX), expected, atol=1e-6)
    np.testing.assert_allclose(similarity(*texts, mix="product"), statements * syntax, atol=1e-6)


@pytest.mark.parametrize("params", [CONVEX, {"mix": "product"}])
def test_the_same_statements_in_two_languages_are_the_same(params):
    sentences = [("Acute infarct in the left thalamus.", INFARCT), ("No haemorrhage.", NO_BLEED)]
    chinese = [("左侧丘脑急性梗死。", INFARCT), ("未见出血。", NO_BLEED)]
    scores = similarity(("en", sentences), ("zh", chinese), english("Normal brain."), **params)
    assert scores[0, 1] >= 0.9
    assert scores[1, 2] < 0.2


def test_the_embedding_is_centred_and_clipped():
    rows, _, statements = collect([english("Normal brain."), english("No haemorrhage."), english("Orbits included.")])
    vectors = np.array([[1, 0], [0.8, 0.6], [0.8, -0.6]], dtype=np.float32)
    scores = TextScorer(TextFeatures.build(rows, vectors, statements), SimilarityParams(mix="embedding")).block(
        np.arange(3), np.arange(3)
    )
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = np.maximum(unit @ unit.T, 0)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores[1, 2] == 0


def test_faults_of_the_released_rule_beside_ours():
    infarct, no_bleed, mass = list(SENTENCES)[0], list(SENTENCES)[2], list(SENTENCES)[1]
    denied = ("en", [("No acute infarct in the left thalamus.", INFARCT._replace(assertion="absent")), (mass, MASS)])
    asserted = english(infarct, mass)
    texts = [
        english(infarct, mass),
        english(mass, infarct),
        english("Normal brain."),
        english(no_bleed),
        denied,
        asserted,
    ]
    released, ours = similarity(*texts, mix="selip_released"), similarity(*texts, mix="statements")
    assert released[0, 1] < 0.8  # the same report in another order
    assert ours[0, 1] == 1
    assert released[2, 3] == 0  # two normal reports
    assert ours[2, 3] == 1
    assert released[4, 5] == pytest.approx(released[0, 1], abs=0.05)  # a negation changes nothing
    assert ours[4, 5] < 0.8


def test_the_released_rule_by_hand():
    texts = [
        ("en", [("ab", Statement("infarct", "thalamus", "left", "present", (("T1", "low"),))), ("cd", MASS)]),
        ("en", [("ab", Statement("mass", "thalamus", "left", "uncertain", (("T2", "low"),)))]),
    ]
    # (same part and signal class, equal sentence; other part, no signal, other sentence) / 2 pairs
    assert similarity(*texts, mix="selip_released")[0, 1] == pytest.approx(0.5)


@pytest.mark.parametrize("params", [*MIXES, {"mix": "selip_released"}], ids=lambda p: p["mix"] + p.get("scorer", ""))
def test_blocks_are_parts_of_the_whole(params, monkeypatch):
    texts = random_texts(40)
    whole = similarity(*texts, **params)
    monkeypatch.setattr(scoring, "MAX_BLOCK_ITEMS", 12)
    blocks = list(scorer_of(texts, **params).blocks())
    assert len(blocks) > 10
    for texts_u, texts_v, block in blocks:
        np.testing.assert_allclose(block, whole[np.ix_(texts_u, texts_v)], atol=1e-5)
    matrix = keep_all(iter(blocks), 40, 0.0)
    np.testing.assert_allclose(matrix.block(np.arange(40)), whole, atol=1e-3)


def blocks_of(whole, size):
    texts = [np.arange(first, min(first + size, len(whole))) for first in range(0, len(whole), size)]
    for number, texts_u in enumerate(texts):
        for texts_v in texts[number:]:
            yield texts_u, texts_v, whole[np.ix_(texts_u, texts_v)]


def test_a_threshold_drops_what_does_not_exceed_it():
    whole = np.array([[1, 0.3, 0.5], [0.3, 1, 0.0], [0.5, 0.0, 1]], dtype=np.float32)
    matrix = keep_all(blocks_of(whole, 2), 3, 0.4)
    np.testing.assert_array_equal(matrix.block(np.arange(3)), np.where(whole > 0.4, whole, 0))
    assert len(matrix.values) == 5


@PROPERTY
@given(
    seed=st.integers(0, 999), top_k=st.integers(1, 6), size=st.integers(1, 9), threshold=st.sampled_from([0.0, 0.45])
)
def test_top_k_is_exact_and_symmetric_by_union(seed, top_k, size, threshold):
    random = np.random.default_rng(seed)
    whole = np.round(random.random((9, 9)), 1).astype(np.float32)  # rounded: ties
    whole = np.triu(whole, 1) + np.triu(whole, 1).T + np.eye(9, dtype=np.float32)
    wanted = np.eye(9, dtype=bool)
    for i in range(9):
        others = sorted((j for j in range(9) if j != i), key=lambda j: (-whole[i, j], j))
        wanted[i, [j for j in others[:top_k] if whole[i, j] > threshold]] = True
    expected = np.where(wanted | wanted.T, whole, 0)
    matrix = keep_best(blocks_of(whole, size), 9, top_k, threshold)
    np.testing.assert_allclose(matrix.block(np.arange(9)), expected, atol=1e-3)
    assert matrix.indices.dtype == np.int32
    assert matrix.indptr.dtype == np.int64
    assert matrix.values.dtype == np.float16


def write(folder, texts, params):
    """A similarity file and the texts folder that it was made from."""
    rows, vectors, statements = collect(texts)
    tables.write(folder / "texts.parquet", tables.from_rows(TEXTS, rows), TEXTS)
    tensors.write(folder / "embeddings.safetensors", {"text": vectors})
    config = SimilarityParams(**params)
    blocks = TextScorer(TextFeatures.load(folder, statements), config).blocks()
    matrix = keep_best(blocks, len(texts), config.top_k, 0.0) if config.top_k else keep_all(blocks, len(texts), 0.0)
    stored = {"indptr": matrix.indptr, "indices": matrix.indices, "values": matrix.values}
    about = {"is_complete": config.top_k is None, "config": config.model_dump()}
    tensors.write(folder / "s.safetensors", stored | statements.to_tensors(), about)
    return folder / "s.safetensors"


@pytest.mark.parametrize("top_k", [None, 2])
def test_a_batch_is_exact_whether_every_entry_is_stored_or_not(tmp_path, top_k):
    texts = random_texts(30)
    whole = similarity(*texts, **CONVEX)
    batch = BatchSimilarity.load(write(tmp_path, texts, {**CONVEX, "top_k": top_k}), tmp_path)
    chosen = np.array([7, 3, 29, 3, 0])
    np.testing.assert_allclose(batch.block(chosen), whole[np.ix_(chosen, chosen)], atol=1e-3)
    above = whole[np.triu_indices(30, k=1)]
    assert batch.off_diagonal_quantile(np.arange(30), 0.95) == pytest.approx(np.quantile(above, 0.95), abs=1e-3)


def test_the_sampled_quantile_is_close_and_repeats(tmp_path, monkeypatch):
    texts = random_texts(60)
    file = write(tmp_path, texts, {**CONVEX, "top_k": 2})
    exact = BatchSimilarity.load(file, tmp_path).off_diagonal_quantile(np.arange(60), 0.5)
    monkeypatch.setattr("stages.reports.similarity._SAMPLE_TEXTS", 40)
    sampled = [BatchSimilarity.load(file, tmp_path).off_diagonal_quantile(np.arange(60), 0.5) for _ in range(2)]
    assert sampled[0] == sampled[1]
    assert sampled[0] == pytest.approx(exact, abs=0.05)


def test_an_incomplete_matrix_asks_for_the_texts(tmp_path):
    file = write(tmp_path, random_texts(5), {**CONVEX, "top_k": 2})
    with pytest.raises(ValueError, match="pass the texts folder"):
        BatchSimilarity.load(file)
    with pytest.raises(ValueError, match="expected at least 2"):
        BatchSimilarity.load(file, tmp_path).off_diagonal_quantile(np.array([1, 1]), 0.5)


def test_other_texts_than_those_compared_are_refused(tmp_path):
    file = write(tmp_path / "a", random_texts(5), {**CONVEX, "top_k": 2})
    write(tmp_path / "b", random_texts(6), CONVEX)
    with pytest.raises(ValueError, match="6 texts, expected 5"):
        BatchSimilarity.load(file, tmp_path / "b")
