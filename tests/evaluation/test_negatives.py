"""False negatives: the order of training met again, and counts against a loop."""

from dataclasses import replace

import numpy as np
import pytest
from pretraining_cohort import write_cohort, write_params

from stages import pretrain
from stages.evaluation.negatives import DataOrder, Judge, Tally, audit_negatives
from stages.params import load
from stages.pretraining.corpus import Collator
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.reports.similarity import BatchSimilarity

UPDATES = 6
ENTRIES = {
    "clip": {"method": "clip"},
    "sentences": {"method": "convirt", "text_view": "sentence", "projection": "mlp"},
    "multipositive": {"method": "selip", "params": {"weight": 0.0}},
    "selip": {"method": "selip", "similarity": "some/where/similarity.safetensors"},
    "shuffled": {"method": "selip", "similarity": "some/where/similarity.safetensors", "shuffle_seed": 3},
    "smoothed": {
        "method": "selip",
        "similarity": "similarity.safetensors",
        "params": {"targets": "uniform", "floor_quantile": 0.5},
    },
    "short": {"method": "clip", "updates": 2},
    "supervised": {"method": "supervised"},
    "random": {"method": "clip", "is_trained": False},
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort") / "c")


@pytest.fixture(scope="module")
def order(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("params")
    write_params(folder, updates=UPDATES, seeds="0, 4")
    return DataOrder.load(**cohort.inputs, params=load("pretrain", PretrainParams, folder / "params.yaml"))


@pytest.fixture(scope="module")
def reference(cohort):
    return BatchSimilarity.load(cohort.root / "similarity.safetensors")


def judge(cohort, order, name):
    entry = ObjectiveEntry(**({"similarity": "none", "labels": "none", "regions": "none"} | ENTRIES[name]))
    return Judge.build(name, entry, order, similarities=cohort.root, texts=cohort.inputs["texts"])


def test_the_order_is_that_of_a_training(cohort, order, tmp_path, monkeypatch):
    met = []
    collate = Collator.collate

    def record(self, rows_B, draws):
        text_ids_B = self._corpus.images.text_ids_N[rows_B]
        met.append(np.where(draws.is_flipped_B, self._corpus.texts.flipped_T[text_ids_B], text_ids_B))
        return collate(self, rows_B, draws)

    monkeypatch.setattr(Collator, "collate", record)
    write_params(tmp_path, updates=UPDATES, seeds="4")
    pretrain.main(**cohort.options("clip", tmp_path))
    replayed = list(order.steps(4, "mixed", UPDATES))
    assert len(replayed) == UPDATES
    for ours, theirs in zip(replayed, met[:UPDATES], strict=True):
        assert ours.tolist() == theirs.tolist()
    assert any((ours != own).any() for ours, own in zip(replayed, order.steps(0, "mixed", UPDATES), strict=True))


def slow_counts(order, seed, similarity, threshold, is_shared):
    """Pairs, negatives and near-duplicates where pairs of equal texts are negatives or not."""
    num_pairs = num_negatives = num_near = 0
    for text_ids in order.steps(seed, "mixed", UPDATES):
        for i, own in enumerate(text_ids):
            for j, other in enumerate(text_ids):
                if i == j:
                    continue
                num_pairs += 1
                if own == other and is_shared:
                    continue
                num_negatives += 1
                alike = own == other if threshold is None else similarity[own, other] >= threshold
                num_near += bool(alike)
    return num_pairs, num_negatives, num_near


@pytest.mark.parametrize(("name", "is_shared"), [("clip", False), ("sentences", False), ("multipositive", True)])
def test_counts_are_those_of_a_loop(cohort, order, reference, name, is_shared):
    rows = audit_negatives(order, [judge(cohort, order, name)], reference, [0.8])
    similarity = reference.block(np.arange(9))
    assert len(rows) == 2 * 2 * 2
    for row in rows:
        expected = slow_counts(order, row["seed"], similarity, row["threshold"], is_shared)
        assert (row["num_pairs"], row["num_negatives"], row["num_near_duplicates"]) == expected
        assert row["share"] == pytest.approx(expected[2] / expected[1])
    assert any(row["num_near_duplicates"] for row in rows)


def test_a_shorter_training_met_fewer_pairs(cohort, order, reference):
    built = [judge(cohort, order, name) for name in ("clip", "short")]
    pairs = {row["objective"]: row["num_pairs"] for row in audit_negatives(order, built, reference, [0.8])}
    assert pairs["short"] / pairs["clip"] == pytest.approx(2 / UPDATES)


def test_similar_texts_are_no_negatives_of_selip_and_smoothing_has_none_without_share(cohort, order, reference):
    built = [judge(cohort, order, name) for name in ("clip", "selip", "shuffled", "smoothed")]
    found = {}
    for row in audit_negatives(order, built, reference, [0.95]):
        found[row["objective"], row["rule"], row["threshold"]] = row
    assert found["selip", "no_share", 0.95]["share"] < found["clip", "no_share", 0.95]["share"]
    assert found["selip", "no_share", 0.95]["share"] < found["shuffled", "no_share", 0.95]["share"]
    assert found["smoothed", "no_share", 0.95]["num_negatives"] == 0
    assert found["smoothed", "no_share", 0.95]["share"] is None
    assert found["smoothed", "below_chance", 0.95]["num_negatives"] > 0
    assert found["selip", "no_share", 0.95]["target_share"] > found["clip", "no_share", 0.95]["target_share"] == 0


def test_objectives_that_match_nothing_are_left_out(cohort, order, caplog):
    caplog.set_level("INFO")
    assert judge(cohort, order, "supervised") is None
    assert judge(cohort, order, "random") is None
    assert "supervised matches no images with texts" in caplog.text


def test_a_tally_by_hand():
    tally = Tally()
    targets = np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.9, 0.1, 0.0], [0.0, 0.0, 1.0, 0.0], [0.25, 0.0, 0.0, 0.75]])
    near = np.zeros((4, 4), dtype=bool)
    near[[0, 1, 1, 2, 3], [1, 0, 2, 1, 0]] = True
    np.fill_diagonal(near, True)
    tally.add(targets, {0.9: near})
    rows = {row["rule"]: row for row in tally.rows("clip", 7)}
    # Off the diagonal 9 of 12 have no share, and 0.1 is below one in four.
    assert rows["no_share"]["num_pairs"] == 12
    assert (rows["no_share"]["num_negatives"], rows["no_share"]["num_near_duplicates"]) == (9, 2)
    assert (rows["below_chance"]["num_negatives"], rows["below_chance"]["num_near_duplicates"]) == (10, 3)
    assert rows["no_share"]["target_share"] == pytest.approx((0.5 + 0.1 + 0.25) / 4)
    assert rows["below_chance"]["share"] == pytest.approx(0.3)


def test_distinct_batches_hold_no_text_twice(order):
    small = replace(order, params=order.params.model_copy(update={"batch_size": 4}))
    for text_ids in small.steps(0, "distinct", UPDATES):
        originals = np.minimum(text_ids, order.texts.flipped_T[text_ids])
        assert len(set(originals.tolist())) == len(originals)
