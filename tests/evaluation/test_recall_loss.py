"""Recall lost to equal and nearly equal texts, by hand and against a loop."""

import numpy as np
import pytest
from evaluated_cohort import CohortFiles

from stages.evaluation.embeddings import Embeddings, Images, normalise
from stages.evaluation.recall_loss import RecallLoss


class Alike:
    """Similarity given as a matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def block(self, text_ids):
        return self.matrix[np.ix_(text_ids, text_ids)]


def evaluate(embeddings, similarity, *, threshold=0.9, recall_at=(1, 2)):
    return RecallLoss("clip", embeddings, Alike(similarity), threshold, recall_at).run(["test"]).to_pandas()


def value(cases, study, metric, seed=0):
    found = cases[(cases["study_id"] == study) & (cases["metric"] == metric) & (cases["seed"] == seed)]
    assert len(found) == 1
    return found["value"].iloc[0]


def test_losses_by_hand():
    # Studies 0 and 1 share text 0, and text 1 of study 2 nearly repeats it; text 2 is another.
    images = Images([f"s{n}" for n in range(4)], [f"p{n}" for n in range(4)], ["test"] * 4, [0, 0, 1, 2])
    angles = {"image": [20, 5, 0, 90], "text": [0, 8, 95]}
    arrays = {
        f"0/{kind}": np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
        for kind, degrees in angles.items()
    }
    embeddings = Embeddings(images, {0: 0, 1: 1, 2: 2}, {}, [0], arrays, [])
    similarity = np.array([[1.0, 0.95, 0.1], [0.95, 1.0, 0.1], [0.1, 0.1, 1.0]])
    cases = evaluate(embeddings, similarity)
    # Text 0 ranks image 2 (nearly equal), 1 (equal), 0 (its own).
    assert value(cases, "s0", "text_to_image/recall@1") == 0
    assert value(cases, "s0", "text_to_image/lost_to_equal@1") == 0
    assert value(cases, "s0", "text_to_image/lost_to_near@1") == 1
    assert value(cases, "s0", "text_to_image/lost_to_equal@2") == 1
    assert value(cases, "s0", "text_to_image/lost_to_near@2") == 0
    assert value(cases, "s1", "text_to_image/recall@2") == 1
    assert value(cases, "s3", "text_to_image/recall@1") == 1
    # Image 2 is nearer to text 0 than to its own.
    assert value(cases, "s2", "image_to_text/recall@1") == 0
    assert value(cases, "s2", "image_to_text/lost_to_near@1") == 1
    assert value(cases, "s2", "image_to_text/recall@2") == 1
    assert not cases["metric"].str.contains("image_to_text/lost_to_equal").any()


def test_losses_are_those_of_a_loop(tmp_path):
    files = CohortFiles(tmp_path).write({"clip": 1.0}, num_seeds=2)
    embeddings = Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))
    patterns = np.array([labels for labels, _ in files.texts])
    similarity = (patterns[:, None] == patterns[None]).mean(axis=2)
    cases = evaluate(embeddings, similarity, threshold=0.75, recall_at=(1, 5))
    images = embeddings.images
    tests = [row for row, split in enumerate(images.splits) if split == "test"]
    vectors = {kind: normalise(embeddings.arrays[f"1/{kind}"].astype(np.float32)) for kind in ("image", "text")}
    for row in tests:
        text = images.text_ids[row]
        scores = np.round([vectors["text"][embeddings.text_rows[text]] @ vectors["image"][other] for other in tests], 6)
        best = [tests[place] for place in np.argsort(-scores)[:5]]
        own = float(row in best)
        equal = float(any(images.text_ids[other] == text for other in best))
        near = float(any(similarity[images.text_ids[other], text] >= 0.75 for other in best))
        study = images.study_ids[row]
        assert value(cases, study, "text_to_image/recall@5", 1) == pytest.approx(own)
        assert value(cases, study, "text_to_image/lost_to_equal@5", 1) == pytest.approx(equal - own)
        assert value(cases, study, "text_to_image/lost_to_near@5", 1) == pytest.approx(near - equal)
    assert (cases["value"] >= -1e-6).all()


def test_without_texts_nothing_is_ranked(tmp_path):
    files = CohortFiles(tmp_path).write({"clip": 1.0})
    files.write_embeddings("supervised", 1.0, has_text=False)
    paths = (files.path(f"embeddings/supervised.{suffix}") for suffix in ("safetensors", "parquet"))
    silent = Embeddings.load(*paths)
    assert not len(evaluate(silent, np.eye(len(files.texts))))
