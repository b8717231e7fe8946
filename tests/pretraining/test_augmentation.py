import numpy as np
import pytest
import torch
from pretraining_cohort import NORMAL, SEQUENCES, write_cohort

from stages.imaging.shards import VolumeStore
from stages.pretraining.augmentation import AugmentationParams, BatchWriter, Draws
from stages.pretraining.corpus import Collator, Corpus
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.standardisation import STEP
from stages.pretraining.texts import Precomputed, TextTable

STILL = AugmentationParams(
    flip_probability=0, max_shift_voxels=0, max_gain=0, max_bias=0, max_noise=0, sequence_dropout=0
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    cohort = write_cohort(tmp_path_factory.mktemp("cohort") / "c")
    store, texts = VolumeStore(cohort.inputs["volumes"]), cohort.inputs["texts"]
    images = load_images(store.table, texts, cohort.inputs["splits"], SEQUENCES, "study")
    training = images.rows_of("train", is_paired=True)
    bank = ImageBank(store, images.series, len(SEQUENCES), standardise_by=training, max_resident_gib=1)
    return Corpus(images, bank, TextTable.load(texts), Precomputed.load(texts)), store


def draw(bank, rows, seed=0, step=0, **changes):
    return Draws.of_step(
        STILL.model_copy(update=changes), bank.is_present_NS[rows], len(bank.shape), seed=seed, step=step
    )


def test_without_augmentation_voxels_are_the_standardised_ones(corpus):
    corpus, store = corpus
    rows = np.array([4, 0, 9])
    written = BatchWriter(corpus.bank, 3).write(rows, draw(corpus.bank, rows))
    for b, row in enumerate(rows):
        stored = np.zeros((len(SEQUENCES), *corpus.bank.shape), dtype=np.uint8)
        for sequence, series in corpus.images.series[row].items():
            stored[sequence] = store.read(series)
        is_present = stored.any(axis=(1, 2, 3))
        expected = corpus.bank.standardiser.apply(stored, is_present) * STEP
        np.testing.assert_array_equal(written[b], expected)
        assert written[b, is_present].any()
        assert not written[b, ~is_present].any()


def test_a_flip_mirrors_left_and_right_and_takes_the_flipped_text(corpus):
    corpus, _ = corpus
    rows = np.array([row for row in range(12) if corpus.images.text_ids_N[row] >= 0])
    still = Collator(corpus, len(rows), frozenset()).collate(rows, draw(corpus.bank, rows))
    flipped = Collator(corpus, len(rows), frozenset()).collate(rows, draw(corpus.bank, rows, flip_probability=1))
    torch.testing.assert_close(flipped.image_inputs["volumes_BSX"], still.image_inputs["volumes_BSX"].flip(2))
    features = corpus.text_inputs.features["text"]
    for b, row in enumerate(rows):
        text = int(corpus.images.text_ids_N[row])
        expected = features[text if text == NORMAL else text ^ 1]
        got = flipped.text_inputs["features"][flipped.told["text_index_B"][b]]
        torch.testing.assert_close(got, expected)


def test_the_flip_keeps_a_blob_on_the_side_that_its_text_names(corpus):
    corpus, _ = corpus
    rows = np.array([row for row in range(30) if 0 <= corpus.images.text_ids_N[row] < NORMAL])
    draws = draw(corpus.bank, rows, flip_probability=0.5)
    assert 0 < draws.is_flipped_B.sum() < len(rows)
    samples = Collator(corpus, len(rows), frozenset()).collate(rows, draws)
    text_ids = corpus.images.text_ids_N[rows]
    said = np.where(draws.is_flipped_B, corpus.texts.flipped_T[text_ids], text_ids) % 2
    volumes = samples.image_inputs["volumes_BSX"].numpy()
    halves = np.stack([volumes[:, :, :4].sum(axis=(1, 2, 3, 4)), volumes[:, :, 4:].sum(axis=(1, 2, 3, 4))])
    assert halves.argmax(axis=0).tolist() == said.tolist()


def test_a_shift_moves_all_sequences_alike_and_brings_in_zeros(corpus):
    corpus, _ = corpus
    rows = np.arange(6)
    writer = BatchWriter(corpus.bank, 6)
    still = writer.write(rows, draw(corpus.bank, rows)).copy()
    draws = draw(corpus.bank, rows, max_shift_voxels=2)
    moved = writer.write(rows, draws)
    for b in range(6):
        padded = np.pad(still[b], [(0, 0)] + [(2, 2)] * 3)
        start = [2 - shift for shift in draws.shift_BA[b]]
        window = tuple(slice(s, s + n) for s, n in zip(start, corpus.bank.shape, strict=True))
        np.testing.assert_array_equal(moved[b], padded[(slice(None), *window)])


def test_gain_bias_and_noise_are_what_was_drawn(corpus):
    corpus, _ = corpus
    rows = np.array([7])
    writer = BatchWriter(corpus.bank, 1)
    still = writer.write(rows, draw(corpus.bank, rows)).copy()
    draws = draw(corpus.bank, rows, max_gain=0.3, max_bias=0.2)
    expected = still * draws.gain_BS[..., None, None, None] + draws.bias_BS[..., None, None, None]
    np.testing.assert_allclose(writer.write(rows, draws), expected, atol=1e-6)
    draws = draw(corpus.bank, rows, max_noise=0.1)
    noise = writer.write(rows, draws) - still
    assert noise.std() == pytest.approx(draws.noise_B[0], rel=0.1)


def test_sequence_dropout_always_leaves_one(corpus):
    corpus, _ = corpus
    rows = np.arange(40)
    kept = draw(corpus.bank, rows, sequence_dropout=0.95).is_kept_BS
    assert kept.any(axis=1).all()
    assert not (kept & ~corpus.bank.is_present_NS[rows]).any()
    assert kept.sum() < corpus.bank.is_present_NS[rows].sum()


def test_draws_are_a_function_of_seed_and_step(corpus):
    corpus, _ = corpus
    rows = np.arange(8)
    params = {"flip_probability": 0.5, "max_shift_voxels": 1, "max_gain": 0.1}
    first, again = (draw(corpus.bank, rows, seed=1, step=5, **params) for _ in range(2))
    other = draw(corpus.bank, rows, seed=1, step=6, **params)
    assert np.array_equal(first.gain_BS, again.gain_BS)
    assert not np.array_equal(first.gain_BS, other.gain_BS)


def test_the_standardiser_is_fitted_on_the_training_images_alone(corpus):
    corpus, store = corpus
    rows = np.array([2, 5])
    bank = ImageBank(store, corpus.images.series, len(SEQUENCES), standardise_by=rows, max_resident_gib=0)
    few = [corpus.images.series[row] for row in rows]
    alone = ImageBank(store, few, len(SEQUENCES), standardise_by=np.arange(2), max_resident_gib=0)
    assert np.array_equal(bank.standardiser.mean_SX, alone.standardiser.mean_SX)
    assert np.array_equal(bank.standardiser.deviation_SX, alone.standardiser.deviation_SX)
    assert not np.array_equal(bank.standardiser.mean_SX, corpus.bank.standardiser.mean_SX)


def test_images_that_do_not_fit_into_memory_are_read_one_by_one(corpus):
    corpus, store = corpus
    fitted = corpus.bank.standardiser
    bank = ImageBank(store, corpus.images.series, len(SEQUENCES), standardise_by=fitted, max_resident_gib=0)
    for row in (0, 11, 39):
        assert np.array_equal(bank.image(row), corpus.bank.image(row))
