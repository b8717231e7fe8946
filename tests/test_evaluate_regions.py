"""Regions of findings from the entry points, on a tiny cohort with an atlas drawn by hand."""

import json

import numpy as np
import pytest
import torch
from grounded_cohort import export_model, splits_of, write_grounded
from pretraining_cohort import NORMAL, SEQUENCES, SHAPE, SIDES
from region_atlas import REGIONS, SITES, kinds_of, weights, write_atlas, write_truth
from ruamel.yaml import YAML
from torch import nn
from torch.nn import functional

from stages import evaluate_regions, evaluate_regions_references
from stages.artifacts import evaluation_tables, tables, tensors
from stages.imaging.shards import VolumeStore
from stages.params import Params
from stages.pretraining import own_heads
from stages.pretraining.batch import Facts
from stages.pretraining.export import load_encoders
from stages.pretraining.own_heads import OwnHeads, export_heads

SECTION = {
    "objectives": ["clip"], "splits": ["test"], "min_positives": 1, "sharpness": [0], "shuffle_seed": 3,
    "batch_size": 3, "num_threads": 1, "max_resident_gib": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make(tmp_path_factory.mktemp("regions") / "c")


def make(root, **sections):
    """Write a cohort with truth and an atlas that lacks one test study."""
    cohort = write_grounded(root, unit=sections.pop("unit", "study"))
    export_model(root, "clip", unit=sections.pop("images", "study"))
    export_model(root, "supervised", aligns_text=False)
    splits = splits_of(root)
    write_truth(root / "truth", kinds_of(root))
    write_atlas(root / "atlas", list(splits), implausible=[next(s for s, split in splits.items() if split == "test")])
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"evaluate_regions": SECTION | sections}, file)
    return cohort


def options(cohort, **changes):
    root = cohort.root
    shared = {name: cohort.inputs[name] for name in ("volumes", "texts", "splits", "params")}
    return shared | {"truth": root / "truth", "atlas": root / "atlas"} | changes


def evaluate(cohort, folder, name="clip", **changes):
    model, metrics = cohort.root / "models" / name, folder / f"{name}.json"
    out = folder / "regions" / name
    evaluate_regions.main(name=name, model=model, out=out, metrics=metrics, **options(cohort, **changes))
    found = {path.stem: read(path) for path in sorted(out.iterdir())}
    return found, json.loads(metrics.read_text())


def evaluate_references(cohort, folder, **changes):
    paths = {name: folder / f"{name}.parquet" for name in ("chance", "prior")}
    model = cohort.root / "models/clip"
    evaluate_regions_references.main(
        model=model, metrics=folder / "references.json", **paths, **options(cohort, **changes)
    )
    return {name: read(path) for name, path in paths.items()}


def read(path):
    return tables.read(path, evaluation_tables.REGION_CASES).to_pylist()


def slow_score(root, study_id, region, seed):
    """Mean cosine of the prompt with the patches of a region, from voxels."""
    towers = load_encoders(root / "models/clip", seed)
    image, is_present = np.zeros((1, len(SEQUENCES), *SHAPE), np.uint8), np.zeros((1, len(SEQUENCES)), bool)
    store = VolumeStore(root / "volumes")
    for row in store.table.to_pylist():
        if row["study_id"] == study_id and row["sequence"] in SEQUENCES:
            number = SEQUENCES.index(row["sequence"])
            image[0, number], is_present[0, number] = store.read(row["series_id"]), True
    patches = towers.image.encode_patches(towers.standardise(image, is_present), torch.from_numpy(is_present))[0]
    prompts = tensors.read(root / "texts/embeddings.safetensors", ["prompt"])["prompt"].astype(np.float32)
    positive = functional.normalize(towers.text(features=torch.from_numpy(prompts[:1])), dim=-1)[0]
    cosines = (functional.normalize(patches, dim=-1) @ positive).numpy()
    weight_P = weights()[[one.name for one in REGIONS].index(region)]
    return float((weight_P * cosines).sum() / weight_P.sum())


def test_every_region_of_every_study_with_an_atlas_is_a_case_of_every_seed(cohort, tmp_path):
    found, summary = evaluate(cohort, tmp_path)
    assert set(found) == {"clip", "clip_own", "clip_own_shuffled"}
    assert found["clip_own"] == found["clip_own_shuffled"] == []
    kinds, splits = kinds_of(cohort.root), splits_of(cohort.root)
    tests = [study for study, split in splits.items() if split == "test"]
    keys = {(row["study_id"], row["region"], row["seed"]) for row in found["clip"]}
    expected = {(s, region.name, seed) for s in tests[1:] for region in REGIONS[:-1] for seed in (0, 1)}
    assert keys == expected
    assert len(found["clip"]) == len(keys)
    for row in found["clip"]:
        kind = kinds[row["study_id"]]
        place = None if kind == NORMAL else f"{SIDES[kind % 2]} {SITES[kind // 2]}"
        assert row["label"] == (row["region"] == place)
    assert summary["studies"] == {"test": len(tests) - 1}
    assert summary["left_out"]["not_registered"] == 1
    assert summary["sharpness"]["0"]["chosen"] == 0
    assert set(summary["clip"]["test"]) == {"region_ap", "region_presence_auc"}


def test_scores_are_those_of_a_slow_reference(cohort, tmp_path):
    rows = evaluate(cohort, tmp_path)[0]["clip"]
    for row in rows[::17]:
        slow = slow_score(cohort.root, row["study_id"], row["region"], row["seed"])
        assert row["score"] == pytest.approx(slow, abs=2e-3)  # prompts are embedded in half precision


def test_running_again_gives_the_same_cases(cohort, tmp_path):
    assert evaluate(cohort, tmp_path / "a") == evaluate(cohort, tmp_path / "b")


def test_references_are_asked_the_same_cases(cohort, tmp_path):
    rows = evaluate(cohort, tmp_path)[0]["clip"]
    references = evaluate_references(cohort, tmp_path)
    asked = {(row["study_id"], row["class"], row["region"], row["label"]) for row in rows}
    for cases in references.values():
        assert {(row["study_id"], row["class"], row["region"], row["label"]) for row in cases} == asked
    assert {row["score"] for row in references["chance"]} == {0.0}
    kinds, splits = kinds_of(cohort.root), splits_of(cohort.root)
    trained = [kinds[study] for study, split in splits.items() if split == "train" and study in kinds]
    for row in references["prior"]:
        side, site = row["region"].split()
        there = sum(kind == 2 * SITES.index(site) + SIDES.index(side) for kind in trained)
        assert row["score"] == pytest.approx(there / len(trained))


def test_an_objective_s_own_head_and_its_control_are_rows_of_their_own(tmp_path, monkeypatch):
    cohort = make(tmp_path / "c")
    monkeypatch.setattr(own_heads, "find_objective", lambda method: PatchHead)
    for seed in (0, 1):
        export_heads(cohort.root / "models/clip", own(PatchHead, seed), "patch_head", PatchHead.Params(), seed)
    found, summary = evaluate(cohort, tmp_path)
    keys = {(row["study_id"], row["region"], row["seed"], row["label"]) for row in found["clip"]}
    for ending in ("_own", "_own_shuffled"):
        rows = found[f"clip{ending}"]
        assert {(row["study_id"], row["region"], row["seed"], row["label"]) for row in rows} == keys
        assert {row["objective"] for row in rows} == {f"clip{ending}"}
        assert f"clip{ending}" in summary
    studies = sorted({(study_id, seed) for study_id, _, seed, _ in keys})
    by_study = [
        [sorted(row["score"] for row in rows if (row["study_id"], row["seed"]) == study) for study in studies]
        for rows in (found["clip_own"], found["clip_own_shuffled"])
    ]
    assert np.array(by_study[0]) == pytest.approx(np.array(by_study[1])), "the control sees regions in other places"
    assert found["clip_own"] != [row | {"objective": "clip_own"} for row in found["clip_own_shuffled"]]


def test_heads_without_presence_add_no_rows(tmp_path, monkeypatch):
    cohort = make(tmp_path / "c")
    monkeypatch.setattr(own_heads, "find_objective", lambda method: Silent)
    for seed in (0, 1):
        export_heads(cohort.root / "models/clip", own(Silent, seed), "silent", PatchHead.Params(), seed)
    found, _ = evaluate(cohort, tmp_path)
    assert found["clip"]
    assert found["clip_own"] == []


def test_an_objective_without_texts_has_no_prompts_to_compare(cohort, tmp_path):
    found, summary = evaluate(cohort, tmp_path, "supervised")
    assert found["supervised"] == []
    assert summary["sharpness"] == {}


def test_the_scores_of_sequences_are_averaged_over_a_study(tmp_path):
    cohort = make(tmp_path / "c", unit="sequence", images="sequence")
    rows = evaluate(cohort, tmp_path)[0]["clip"]
    keys = [(row["study_id"], row["region"], row["seed"]) for row in rows]
    assert rows
    assert len(keys) == len(set(keys))


def test_a_cohort_without_truth_goes_through(tmp_path, caplog):
    cohort = make(tmp_path / "c")
    write_truth(cohort.root / "truth", {})
    with caplog.at_level("INFO"):
        found, summary = evaluate(cohort, tmp_path)
        references = evaluate_references(cohort, tmp_path)
    assert not any(found.values())
    assert not any(references.values())
    assert summary["studies"] == {"test": 0}
    assert "no study with a registered atlas has lesions of known place" in caplog.text


def test_an_atlas_of_another_patch_size_is_refused(tmp_path):
    cohort = make(tmp_path / "c")
    path = cohort.root / "atlas/weights.safetensors"
    values = tensors.read(path)
    tensors.write(path, {name: array[:, :, :6] for name, array in values.items()}, {"patch_size": 8, "grid": [1, 3, 2]})
    with pytest.raises(ValueError, match=r"6 patches of 8 voxels, expected 12"):
        evaluate(cohort, tmp_path)


class PatchHead(nn.Module):
    """Gives each region the mean of one dimension of its patches, scaled by a weight of the seed."""

    class Params(Params):
        """None."""

    def __init__(self, params, facts):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def presence_logits(self, image_BD, patch_BPD, weight_BRP):
        mean_BR = (weight_BRP @ patch_BPD[..., :1]).squeeze(-1) / weight_BRP.sum(dim=-1).clamp(min=1e-6)
        return self.scale * mean_BR[:, None]


class Silent(PatchHead):
    """Has heads that tell nothing of regions."""

    presence_logits = property()


def own(objective, seed):
    facts = Facts(16, regions=tuple(one.name for one in REGIONS), findings=("infarct",))
    built = objective(objective.Params(), facts)
    built.scale.data += seed
    return OwnHeads(built, facts, None)
