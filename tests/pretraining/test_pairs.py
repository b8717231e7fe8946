from itertools import islice

import numpy as np
import pytest
from pretraining_cohort import NUM_STUDIES, SEQUENCES, write_cohort

from stages.artifacts import report_tables, tables
from stages.imaging.shards import VolumeStore
from stages.pretraining.pairs import NO_TEXT, batches, load_images


def take(groups, size, batching="mixed", seed=0, count=20):
    return list(islice(batches(np.asarray(groups), size, batching, seed), count))


def test_an_epoch_meets_every_image_once():
    met = np.concatenate(take(range(24), 8, count=3))
    assert sorted(met.tolist()) == list(range(24))


def test_the_order_is_a_function_of_the_seed():
    assert np.array_equal(take(range(24), 8), take(range(24), 8))
    assert not np.array_equal(take(range(24), 8), take(range(24), 8, seed=1))


def test_distinct_batches_repeat_no_text_and_still_meet_every_image():
    groups = np.array([0] * 10 + list(range(1, 15)))
    drawn = take(groups, 6, "distinct", count=60)
    assert all(len(set(groups[batch])) == 6 for batch in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(range(24))


@pytest.mark.parametrize(("batching", "available"), [("mixed", 10), ("distinct", 3)])
def test_too_few_pairs_for_a_batch_are_refused(batching, available):
    with pytest.raises(ValueError, match=rf"pretrain.batch_size=11: only {available} {batching}"):
        batches(np.arange(10) % 3, 11, batching, 0)


@pytest.fixture(scope="module", params=["study", "sequence"])
def loaded(request, tmp_path_factory):
    cohort = write_cohort(tmp_path_factory.mktemp("cohort") / "c", request.param)
    store = VolumeStore(cohort.inputs["volumes"])
    images = load_images(store.table, cohort.inputs["texts"], cohort.inputs["splits"], SEQUENCES, request.param)
    return request.param, cohort, store, images


def test_images_stand_in_the_order_of_the_reports_those_without_one_last(loaded):
    unit, cohort, _, images = loaded
    pairs = tables.read(cohort.inputs["texts"] / "pairs.parquet", report_tables.PAIRS)["study_id"].to_pylist()
    studies = list(dict.fromkeys(images.study_ids))
    assert studies[:-1] == list(dict.fromkeys(pairs))
    assert len(studies) == NUM_STUDIES
    has_text = images.text_ids_N != NO_TEXT
    assert not has_text[-1]
    assert has_text.sum() == len(images) - (1 if unit == "study" else len(images.series) - has_text.sum())


def test_an_image_holds_its_own_sequences_and_never_a_withheld_one(loaded):
    unit, _, store, images = loaded
    rows = {row["series_id"]: row for row in store.table.to_pylist()}
    for study, view, series in zip(images.study_ids, images.sequences, images.series, strict=True):
        for number, series_id in series.items():
            assert rows[series_id]["study_id"] == study
            assert rows[series_id]["sequence"] == SEQUENCES[number]
            assert view == (None if unit == "study" else SEQUENCES[number])


def test_keeping_some_splits_keeps_their_rows(loaded):
    _, _, _, images = loaded
    kept = images.only({"validation"})
    rows = images.rows_in({"validation"})
    assert kept.study_ids == [images.study_ids[row] for row in rows]
    assert kept.series == [images.series[row] for row in rows]
    assert kept.text_ids_N.tolist() == images.text_ids_N[rows].tolist()
    assert set(kept.splits) == {"validation"}
