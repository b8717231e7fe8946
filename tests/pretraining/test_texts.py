from dataclasses import replace

import numpy as np
import pytest
import torch
from pretraining_cohort import NORMAL, SEQUENCES, write_cohort

from stages.imaging.shards import VolumeStore
from stages.pretraining.augmentation import AugmentationParams, Draws
from stages.pretraining.corpus import Collator, Corpus
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import load_images
from stages.pretraining.texts import Precomputed, TextTable

# Texts of 1, 2, 5 and 40 sentences.
LENGTHS = [1, 2, 5, 40]
OFFSETS = np.cumsum([0, *LENGTHS])
TABLE = TextTable("study", np.arange(4), np.zeros(4, dtype=bool), OFFSETS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    cohort = write_cohort(tmp_path_factory.mktemp("cohort") / "c")
    store, texts = VolumeStore(cohort.inputs["volumes"]), cohort.inputs["texts"]
    images = load_images(store.table, texts, cohort.inputs["splits"], SEQUENCES, "study")
    training = images.rows_of("train", is_paired=True)
    bank = ImageBank(store, images.series, len(SEQUENCES), standardise_by=training, max_resident_gib=1)
    return Corpus(images, bank, TextTable.load(texts), Precomputed.load(texts), text_view="subset")


def own(text):
    return set(range(OFFSETS[text], OFFSETS[text + 1]))


def test_sentences_are_drawn_evenly_from_their_own_text():
    uniform = np.array([0.0, 0.49, 0.5, 0.999])
    assert TABLE.draw_sentences(np.full(4, 1), uniform).tolist() == [1, 1, 2, 2]
    assert TABLE.draw_sentences(np.full(4, 0), uniform).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("text", range(4))
def test_a_subset_is_of_its_own_text_in_order_and_never_empty(text):
    uniform = np.random.default_rng(0).random(500)
    for rows in TABLE.draw_subsets(np.full(500, text), uniform):
        assert len(rows) > 0
        assert (np.diff(rows) > 0).all()
        assert set(rows.tolist()) <= own(text)


def test_each_sentence_is_in_half_of_the_subsets():
    subsets = TABLE.draw_subsets(np.full(2000, 3), np.random.default_rng(1).random(2000))
    share = np.bincount(np.concatenate(subsets) - OFFSETS[3], minlength=40) / 2000
    np.testing.assert_allclose(share, 0.5, atol=0.05)


def test_a_sentence_that_stands_in_for_an_empty_subset_is_any_of_the_text():
    subsets = TABLE.draw_subsets(np.full(2000, 1), np.random.default_rng(2).random(2000))
    counts = [sum(rows.tolist() == chosen for rows in subsets) / 2000 for chosen in ([1], [2], [1, 2])]
    # One of four draws keeps none, and is then either sentence.
    np.testing.assert_allclose(counts, [3 / 8, 3 / 8, 1 / 4], atol=0.04)


def test_a_subset_is_a_function_of_its_draw_whatever_else_is_drawn():
    uniform = np.array([0.1, 0.7, 0.1, 0.3])
    together = TABLE.draw_subsets(np.array([3, 3, 3, 2]), uniform)
    assert np.array_equal(together[0], together[2])
    assert not np.array_equal(together[0], together[1])
    (alone,) = TABLE.draw_subsets(np.array([2]), uniform[3:])
    assert np.array_equal(alone, together[3])


def test_joined_sentences_are_their_slow_normalised_mean():
    torch.manual_seed(0)
    inputs = Precomputed({"text": torch.zeros(4, 6), "sentence": torch.randn(OFFSETS[-1], 6)})
    groups = [np.array([0]), np.array([3, 9, 20]), np.array([4, 5])]
    got = inputs.join(groups)["features"]
    for row, group in enumerate(groups):
        mean = torch.stack([inputs.features["sentence"][sentence] for sentence in group]).mean(dim=0)
        torch.testing.assert_close(got[row], mean / mean.norm())


def test_all_sentences_of_a_text_joined_are_its_embedding(corpus):
    offsets = corpus.texts.offsets_T1
    groups = [np.arange(first, end) for first, end in zip(offsets[:-1], offsets[1:], strict=True)]
    joined = corpus.text_inputs.join(groups)["features"]
    torch.testing.assert_close(joined, corpus.text_inputs.features["text"], rtol=0, atol=1e-3)


def test_a_batch_of_subsets_has_a_row_a_text_and_flips_with_its_image(corpus):
    rows = corpus.training_rows[:12]
    params = AugmentationParams(flip_probability=1)
    draws = Draws.of_step(params, corpus.bank.is_present_NS[rows], len(corpus.bank.shape), seed=0, step=0)
    samples = Collator(corpus, len(rows), frozenset()).collate(rows, draws)
    flipped = corpus.texts.flipped_T[corpus.images.text_ids_N[rows]]
    assert len(samples.text_inputs["features"]) == len(set(flipped.tolist())) < len(rows)
    sentences = corpus.text_inputs.features["sentence"]
    for b, text in enumerate(flipped):
        if text != NORMAL:
            got = samples.text_inputs["features"][samples.told["text_index_B"][b]]
            torch.testing.assert_close(got, sentences[text], rtol=0, atol=1e-3)


def test_other_steps_show_other_subsets_of_the_same_text(corpus):
    rows = corpus.images.text_ids_N.tolist().index(NORMAL)
    collator, seen = Collator(corpus, 1, frozenset()), set()
    for step in range(30):
        draws = Draws.of_step(AugmentationParams(), corpus.bank.is_present_NS[[rows]], 3, seed=0, step=step)
        features = collator.collate(np.array([rows]), draws).text_inputs["features"]
        seen.add(features.numpy().tobytes())
    assert len(seen) == 3
    whole = Collator(replace(corpus, text_view="text"), 1, frozenset()).collate(np.array([rows]), draws)
    torch.testing.assert_close(whole.text_inputs["features"][0], corpus.text_inputs.features["text"][NORMAL])
