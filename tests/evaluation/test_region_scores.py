"""Pooling over regions, its choice on validation, and the control whose regions are exchanged."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from region_atlas import REGIONS
from torch import nn

from stages.evaluation.region_areas import RegionsParams
from stages.evaluation.region_cases import RegionCases, summarise_regions
from stages.evaluation.region_scores import best_sharpness, head_columns, pool, score_studies, shuffle_regions
from stages.evaluation.region_truth import RegionTruth
from stages.pretraining.batch import Facts
from stages.pretraining.own_heads import OwnHeads
from stages.pretraining.region_labels import ABSENT, PRESENT, UNKNOWN
from stages.pretraining.standardisation import STEP

NUM_STUDIES, NUM_REGIONS = 24, 8
PARAMS = RegionsParams(
    objectives=[], splits=["test"], min_positives=1, sharpness=[0, 300], shuffle_seed=3, batch_size=5, num_threads=1,
    max_resident_gib=1,
)  # fmt: skip


@pytest.mark.parametrize("sharpness", [0.0, 4.0])
def test_pooling_is_that_of_a_slow_loop(sharpness):
    rng = np.random.default_rng(0)
    values, weight = rng.uniform(-1, 1, (2, 5, 3)), rng.random((2, 4, 5))
    weight[1, 2] = 0
    pooled = pool(torch.from_numpy(values), torch.from_numpy(weight), sharpness).numpy()
    for image, finding, region in np.ndindex(2, 3, 4):
        own = weight[image, region]
        expected = 0.0
        if own.any() and sharpness == 0:
            expected = sum(w * v for w, v in zip(own, values[image, :, finding], strict=True)) / sum(own)
        elif own.any():
            terms = [w * np.exp(sharpness * v) for w, v in zip(own, values[image, :, finding], strict=True)]
            expected = np.log(sum(terms) / sum(own)) / sharpness
        assert pooled[image, finding, region] == pytest.approx(expected)


def test_pooling_goes_from_the_mean_to_the_largest_value_and_stays_finite():
    values = torch.tensor([-1.0, -0.9, 0.5, 1.0], dtype=torch.double)[None, :, None]
    weight = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.double)[None]
    pooled = torch.stack([pool(values, weight, sharpness)[0, 0] for sharpness in (0, 0.01, 1, 10, 300)])
    assert (pooled[1:, 0] > pooled[:-1, 0]).all()
    assert pooled[-1, 0] == pytest.approx(0.5, abs=0.01)
    assert pooled[:, 1].numpy() == pytest.approx(-1.0)


def test_regions_change_places_among_those_shown():
    rng = np.random.default_rng(1)
    weight_NAP = rng.random((6, 5, 4)).astype(np.float32)
    weight_NAP[:, 2] = 0
    places = np.array([0, 1, 2, 3])
    shuffled = shuffle_regions(weight_NAP, places, [7, 0])
    assert (shuffled[:, 4] == weight_NAP[:, 4]).all(), "the whole brain is no place to exchange"
    assert not shuffled[:, 2].any(), "a region that is not shown stays empty"
    for own, mixed in zip(weight_NAP, shuffled, strict=True):
        assert sorted(map(tuple, own.tolist())) == sorted(map(tuple, mixed.tolist()))
    assert (shuffled != weight_NAP).any()
    assert (shuffle_regions(weight_NAP, places, [7, 0]) == shuffled).all()
    assert (shuffle_regions(weight_NAP, places, [7, 1]) != shuffled).any()


def test_the_best_pooling_of_validation_is_chosen_and_the_first_of_equals():
    truth = make_truth(splits=["validation", "test"] * (NUM_STUDIES // 2))
    good, bad = truth.labels_NFR.astype(float), -truth.labels_NFR.astype(float)
    is_validation = (truth.splits == "validation")[:, None, None]
    only_on_test = np.where(is_validation, bad, good)
    chosen, means = best_sharpness(np.stack([only_on_test, good, good]), truth, "validation")
    assert chosen == 1
    assert means[1] == 1.0
    assert means[0] < 0.5
    chosen, means = best_sharpness(np.stack([bad, good]), truth, "nowhere")
    assert chosen == 0
    assert np.isnan(means).all()


def test_a_head_that_sees_lesions_is_perfect_and_exchanged_regions_destroy_it():
    truth = make_truth()
    scores = score_studies(fake_towers(), FakeBank(truth), fake_inputs(truth), heads(SeesLesions()), PARAMS, seed=0)
    assert scores.shared_KNFR is None
    summary = {
        name: summarise_regions(RegionCases(truth, ["test"]).of(values, name=name, seed=0), 1)["test"]
        for name, values in (("own", scores.own_NFR), ("shuffled", scores.shuffled_NFR))
    }
    assert summary["own"] == {"region_ap": 1.0, "region_presence_auc": 1.0}
    chance = summarise_regions(RegionCases(truth, ["test"]).of(0 * scores.own_NFR, name="chance", seed=0), 1)["test"]
    assert summary["shuffled"]["region_ap"] == pytest.approx(chance["region_ap"], abs=0.12)
    assert summary["shuffled"]["region_presence_auc"] < 0.75


def test_images_of_a_study_are_averaged():
    truth = make_truth()
    one = score_studies(fake_towers(), FakeBank(truth), fake_inputs(truth), heads(SeesLesions()), PARAMS, seed=0)
    twice = fake_inputs(truth, num_images=2)
    bank = FakeBank(truth, num_images=2)
    two = score_studies(fake_towers(), bank, twice, heads(SeesLesions()), PARAMS, seed=0)
    assert two.own_NFR == pytest.approx(one.own_NFR / 2, abs=1e-6)


def test_unknown_places_and_regions_outside_the_image_are_no_cases():
    truth = make_truth()
    truth.labels_NFR[0] = UNKNOWN
    truth.weight_NAP[1, 3] = 0
    cases = RegionCases(truth, ["test"]).of(np.zeros(truth.labels_NFR.shape), name="x", seed=0).to_pylist()
    assert len(cases) == (NUM_STUDIES - 1) * NUM_REGIONS - 1
    assert truth.study_ids[0] not in {case["study_id"] for case in cases}
    left_out = {(case["study_id"], case["region"]) for case in cases}
    assert (truth.study_ids[1], REGIONS[3].name) not in left_out


def test_a_head_that_does_not_know_a_finding_is_refused():
    with pytest.raises(ValueError, match=r"presence head: trained without \['cyst'\]"):
        head_columns(heads(SeesLesions()), ["infarct", "cyst"])


class SeesLesions(nn.Module):
    """Gives each region the mean of its patches."""

    def presence_logits(self, image_BD, patch_BPD, weight_BRP):
        mean_BR = (weight_BRP @ patch_BPD).squeeze(-1) / weight_BRP.sum(dim=-1)
        return torch.stack([torch.zeros_like(mean_BR), mean_BR], dim=1)


class FakeBank:
    """Images of one sequence whose voxels are 1 where the lesion lies; of two, the second shows nothing."""

    def __init__(self, truth, num_images=1):
        self.images = np.repeat((truth.labels_NFR[:, :1] == PRESENT).astype(np.float32) / STEP, num_images, axis=0)
        self.images[1::2] *= num_images == 1
        self.is_present_NS = np.ones((len(self.images), 1), dtype=bool)

    def image(self, row):
        return self.images[row]


def fake_towers():
    """An encoder that passes voxels on as patches."""
    encoder = SimpleNamespace(embed=lambda volumes_B1P, _: (volumes_B1P.mean(dim=-1), volumes_B1P.transpose(1, 2)))
    return SimpleNamespace(config=SimpleNamespace(aligns_text=False), image=encoder)


def fake_inputs(truth, num_images=1):
    study_ids = [study_id for study_id in truth.study_ids for _ in range(num_images)]
    return SimpleNamespace(truth=truth, images=SimpleNamespace(study_ids=study_ids))


def heads(objective):
    facts = Facts(1, regions=tuple(one.name for one in REGIONS), findings=("normal", "infarct"))
    return OwnHeads(objective, facts, None)


def make_truth(splits=None):
    """Each study with a lesion in one of eight regions, of a patch each, and the whole brain."""
    regions = REGIONS[:NUM_REGIONS]
    labels_NFR = np.full((NUM_STUDIES, 1, NUM_REGIONS), ABSENT, dtype=np.int8)
    labels_NFR[np.arange(NUM_STUDIES), 0, np.arange(NUM_STUDIES) % NUM_REGIONS] = PRESENT
    weight_AP = np.concatenate([np.eye(NUM_REGIONS), np.ones((1, NUM_REGIONS))]).astype(np.float32)
    return RegionTruth(
        study_ids=[f"{n * 7919 % 10007:016x}" for n in range(NUM_STUDIES)],
        patient_ids=[f"{n:016x}" for n in range(NUM_STUDIES)],
        splits=np.array(splits or ["test"] * NUM_STUDIES),
        findings=["infarct"],
        regions=regions,
        places_R=np.arange(NUM_REGIONS),
        weight_NAP=np.repeat(weight_AP[None], NUM_STUDIES, axis=0),
        labels_NFR=labels_NFR,
        left_out={},
    )
