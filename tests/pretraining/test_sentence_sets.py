import numpy as np
import pytest
from pretraining_cohort import NORMAL, write_cohort

from stages.artifacts import report_tables, tables
from stages.pretraining.sentence_sets import NOTHING, SentenceTable


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    write_cohort(root / "c")
    return root / "c"


@pytest.fixture(scope="module")
def table(folder):
    return SentenceTable.load(folder / "texts", folder / "findings.parquet")


def test_a_sentence_states_what_stands_in_its_line(table):
    assert table.is_finding_M.tolist() == [True] * NORMAL + [False, False]
    assert table.meaning_M[NORMAL] == NOTHING
    assert len(set(table.meaning_M[:NORMAL].tolist())) == NORMAL
    assert table.meaning_M[NORMAL + 1] not in {NOTHING, *table.meaning_M[:NORMAL].tolist()}


def test_gathered_sentences_are_padded_to_the_longest_text(table):
    sets = table.gather(np.array([2, NORMAL, 2]))
    assert sets["rows"].tolist() == [[2, 0], [NORMAL, NORMAL + 1], [2, 0]]
    assert sets["is_sentence"].tolist() == [[True, False], [True, True], [True, False]]
    assert sets["is_finding"].tolist() == [[True, False], [False, False], [True, False]]
    assert sets["meaning"][:, 0].tolist() == [table.meaning_M[2], NOTHING, table.meaning_M[2]]
    assert sets["meaning"][0, 1] == NOTHING


def test_a_mirrored_text_states_the_other_side(folder, tmp_path):
    texts = tables.read(folder / "texts" / "texts.parquet", report_tables.TEXTS).to_pylist()
    texts[1]["is_flipped"] = True
    (tmp_path / "texts").mkdir()
    tables.write(
        tmp_path / "texts" / "texts.parquet", tables.from_rows(report_tables.TEXTS, texts), report_tables.TEXTS
    )
    (tmp_path / "texts" / "embeddings.safetensors").symlink_to(folder / "texts" / "embeddings.safetensors")
    table = SentenceTable.load(tmp_path / "texts", folder / "findings.parquet")
    assert table.meaning_M[1] == table.meaning_M[0]
    assert table.meaning_M[2] != table.meaning_M[3]
