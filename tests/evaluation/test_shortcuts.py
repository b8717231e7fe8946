"""The scanner probe finds what is planted and no more; drops of nDCG are those of a loop."""

import numpy as np
import pandas as pd
import pytest
from evaluated_cohort import CohortFiles
from sklearn.metrics import balanced_accuracy_score, ndcg_score

from stages.evaluation.bootstrap import Resampling
from stages.evaluation.embeddings import Embeddings, normalise
from stages.evaluation.estimates import measure_estimates
from stages.evaluation.quantities import MACRO, SHORTCUTS, Quantity
from stages.evaluation.relevance import Relevance
from stages.evaluation.shortcuts import ScannerProbes, SequenceDrops, ShortcutParams

PARAMS = ShortcutParams(splits=["test"], penalties=[10.0, 1.0], num_folds=3)
VENDORS = ("GE", "SIEMENS", "UIH")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cohort = CohortFiles(tmp_path_factory.mktemp("cohort"), num_train=120, num_test=80)
    return cohort.write({"clip": 1.0}, num_seeds=2)


@pytest.fixture(scope="module")
def embeddings(files):
    return Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))


def vendors_of(files):
    """Two vendors by turns, and a third one that training never saw."""
    rng = np.random.default_rng(3)
    codes = rng.choice(VENDORS[:2], p=[0.7, 0.3], size=len(files.study_ids))
    codes[[n for n, split in enumerate(files.splits) if split == "test"][:5]] = VENDORS[2]
    return dict(zip(files.study_ids, codes.tolist(), strict=True))


def plant(embeddings, vendor_of, strength):
    sign = np.array([1.0 if vendor_of[study] == "GE" else -1.0 for study in embeddings.images.study_ids])
    direction = np.random.default_rng(4).normal(size=embeddings.arrays["0/image"].shape[1])
    noise = np.random.default_rng(5).normal(size=embeddings.arrays["0/image"].shape)
    arrays = {f"{seed}/image": noise + strength * np.outer(sign, direction) for seed in (0, 1)}
    return Embeddings(embeddings.images, {}, {}, [0, 1], arrays, [])


def probe(embeddings, vendor_of, params=PARAMS):
    tables = list(ScannerProbes("clip", embeddings, params).run({"vendor": vendor_of}))
    return [table.to_pandas() for table in tables]


def mean_of(parts, code):
    return np.concatenate([part["value"] for part in parts if (part["class"] == code).all()]).mean()


def test_a_planted_vendor_is_found(files, embeddings):
    vendor_of = vendors_of(files)
    parts = probe(plant(embeddings, vendor_of, 1.0), vendor_of)
    for code in ("GE", "SIEMENS", "all"):
        assert mean_of(parts, code) > 0.9
    assert not any((part["class"] == "UIH").any() for part in parts)
    assert {(part["split"] == "test").all() for part in parts} == {True}


def test_nothing_is_found_where_nothing_is(files, embeddings):
    vendor_of = vendors_of(files)
    assert 0.35 < mean_of(probe(plant(embeddings, vendor_of, 0.0), vendor_of), "all") < 0.65


def test_the_tables_make_the_balanced_accuracy_of_the_cases(files, embeddings):
    vendor_of = vendors_of(files)
    parts = [part for part in probe(plant(embeddings, vendor_of, 0.25), vendor_of) if part["seed"].iloc[0] == 0]
    told = next(part for part in parts if part["class"].iloc[0] == "all").set_index("study_id")["value"]
    truth = [vendor_of[study] for study in told.index]
    other = {"GE": "SIEMENS", "SIEMENS": "GE"}
    called = [own if right else other[own] for own, right in zip(truth, told, strict=True)]
    cases = pd.concat(parts)
    resampling = Resampling.draw(list(dict.fromkeys(cases["patient_id"])), 50, 0)
    estimates = measure_estimates(cases, {"test": resampling}, task=SHORTCUTS)
    balanced = estimates[Quantity(SHORTCUTS, "vendor_accuracy", "test", MACRO)]
    assert balanced.value == pytest.approx(balanced_accuracy_score(truth, called))
    assert balanced.smallest_cell == min(
        estimates[Quantity(SHORTCUTS, "vendor_accuracy", "test", code)].smallest_cell for code in ("GE", "SIEMENS")
    )
    assert mean_of(parts, "all") == pytest.approx(told.mean())
    assert mean_of(parts, "GE") == pytest.approx(np.mean([r for o, r in zip(truth, told, strict=True) if o == "GE"]))


def test_one_vendor_leaves_nothing_to_tell(files, embeddings, caplog):
    caplog.set_level("INFO")
    assert not probe(embeddings, dict.fromkeys(files.study_ids, "GE"))
    assert not probe(embeddings, dict.fromkeys(files.study_ids, None))
    assert "training studies do not differ in vendor" in caplog.text


def test_drops_are_those_of_a_loop(files, embeddings):
    relevance = Relevance.load(files.path("relevance"))
    found = [part.to_pandas() for part in SequenceDrops("clip", embeddings, relevance).run(["test"])]
    images = embeddings.images
    tests = [row for row, split in enumerate(images.splits) if split == "test"]
    texts = list(dict.fromkeys(images.text_ids[row] for row in tests))
    vectors = {kind: normalise(embeddings.arrays[f"1/{kind}"].astype(np.float32)) for kind in ("image", "text", "view")}

    own = [images.study_ids[row] for row in tests]
    gain = relevance.gain(own, own)
    members = [[place for place, row in enumerate(tests) if images.text_ids[row] == text] for text in texts]

    def ndcg(vector, study):
        scores = np.round([vector @ vectors["text"][embeddings.text_rows[text]] for text in texts], 6)
        gains = [np.mean([gain[own.index(study), place] for place in of_text]) for of_text in members]
        return ndcg_score([gains], [scores], k=10)

    for sequence in ("T1", "T2", "FLAIR"):
        part = next(p for p in found if p["class"].iloc[0] == sequence and p["seed"].iloc[0] == 1)
        views = [row for row, (n, withheld) in enumerate(files.views) if withheld == sequence]
        assert part["study_id"].tolist() == [files.study_ids[files.views[row][0]] for row in views]
        for row, value in zip(views, part["value"], strict=True):
            image = files.views[row][0]
            study = files.study_ids[image]
            assert value == pytest.approx(
                ndcg(vectors["image"][image], study) - ndcg(vectors["view"][row], study), abs=1e-5
            )
    whole = next(p for p in found if p["class"].iloc[0] == "all")
    assert len(whole) == len(files.views)


def test_without_texts_or_views_there_is_no_drop(files, embeddings, caplog):
    caplog.set_level("INFO")
    relevance = Relevance.load(files.path("relevance"))
    silent = Embeddings(embeddings.images, {}, {}, [0], {"0/image": embeddings.arrays["0/image"]}, [])
    assert not list(SequenceDrops("clip", silent, relevance).run(["test"]))
    assert "no drop to measure" in caplog.text
    parts = list(SequenceDrops("clip", embeddings, relevance).run(["test_vendor"]))
    assert sum(len(part) for part in parts) == 0
