from collections import Counter

from stages.artifacts import tables
from stages.artifacts.imaging_tables import SEQUENCES
from stages.artifacts.report_tables import PHRASES
from stages.reports.lexicon import Lexicon
from stages.reports.phrases import phrase_rows

LEXICON = Lexicon.load("head_mri")
ROWS = phrase_rows(LEXICON, ["en"])


def test_every_finding_has_a_definition_and_a_name():
    for kind in ("definition", "name"):
        assert [row["finding"] for row in ROWS if row["kind"] == kind] == list(LEXICON.findings)
    cyst = {row["kind"]: row["text"] for row in ROWS if row["finding"] == "cyst" and row["kind"] != "question"}
    assert cyst == {"definition": "cyst: A sac filled with fluid, with a thin wall.", "name": "cyst"}


def test_questions_are_sentences_and_no_two_are_alike():
    texts = [row["text"] for row in ROWS if row["kind"] == "question"]
    assert len(set(texts)) == len(texts)
    assert not any("{" in text or "None" in text or "  " in text for text in texts)
    assert "Can an intracranial haemorrhage be seen?" in texts
    assert "Describe the FLAIR signal of the cyst." in texts


def test_every_question_has_wordings_to_train_and_others_to_test_with():
    for code, question in LEXICON.questions.items():
        assert len(question.trained) >= 2, code
        assert len(question.held_out) >= 2, code
        assert set(question.sequences) <= set(SEQUENCES)
    asked = Counter(
        (row["question"], row["finding"], row["sequence"], row["is_held_out"])
        for row in ROWS
        if row["kind"] == "question"
    )
    assert set(asked.values()) == {2, 4}


def test_rows_keep_their_contract():
    table = tables.from_rows(PHRASES, ROWS)
    assert table["phrase_id"].to_pylist() == list(range(len(ROWS)))
