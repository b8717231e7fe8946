import numpy as np
from pretraining_cohort import NORMAL, write_cohort

from stages.pretraining.similarity_source import Shuffled
from stages.pretraining.texts import TextTable
from stages.reports.similarity import BatchSimilarity


def test_shuffling_permutes_rows_and_columns_together(tmp_path):
    cohort = write_cohort(tmp_path / "c")
    source = BatchSimilarity.load(cohort.root / "similarity.safetensors")
    every = np.arange(NORMAL + 1)
    shuffled = Shuffled.among(source, TextTable.load(cohort.inputs["texts"]), every, seed=3)
    order = shuffled.place_T
    assert sorted(order.tolist()) == every.tolist()
    assert not np.array_equal(order, every)
    assert np.array_equal(shuffled.block(every), source.block(every)[order][:, order])
    assert np.array_equal(shuffled.block(every).diagonal(), np.ones(NORMAL + 1))
    assert shuffled.off_diagonal_quantile(every, 0.9) == source.off_diagonal_quantile(every, 0.9)


def test_a_mirrored_text_goes_to_the_mirror_of_the_place_of_its_original(tmp_path):
    cohort = write_cohort(tmp_path / "c")
    source = BatchSimilarity.load(cohort.root / "similarity.safetensors")
    texts = TextTable.load(cohort.inputs["texts"])
    lefts = np.array([0, 2, 4, 6])
    shuffled = Shuffled.among(source, texts, lefts, seed=1)
    assert sorted(shuffled.place_T[lefts].tolist()) == lefts.tolist()
    assert shuffled.place_T[texts.flipped_T[lefts]].tolist() == texts.flipped_T[shuffled.place_T[lefts]].tolist()
    assert shuffled.place_T[NORMAL] == NORMAL
