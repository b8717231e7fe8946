"""Statements are marked where they stand in their sentence."""

from stages.evaluation.marked_sentences import choose, mark_sentences, to_html, to_rows


def finding(text, start, end, **values):
    """Row of a statement in the second sentence of a section."""
    row = {"row": 0, "study_id": "s", "statement": 0, "section": "findings", "sentence": 1, "start": start, "end": end}
    row |= {"finding": "infarct", "site": "thalamus", "side": "left", "assertion": "present", "language": "en"}
    row |= {"signals": [], "text": text, "size_mm": None}
    return row | values


def report(text):
    return [{"row": 0, "sections": [{"name": "history", "text": "x"}, {"name": "findings", "text": text}]}]


def test_a_statement_is_marked_in_a_repeated_sentence_where_it_stands():
    text = "Infarct left. Infarct left."
    (marked,) = mark_sentences([finding("Infarct left.", 14, 21)], report(text))
    assert [(mark.start, mark.end, mark.label) for mark in marked.marks] == [(0, 7, "left thalamus infarct")]


def test_statements_of_one_place_and_overlapping_ones_are_joined():
    text = "No infarct or bleeding."
    found = [
        finding(text, 3, 10, assertion="absent", site=None, side=None),
        finding(text, 3, 10, assertion="absent", finding="haemorrhage", site=None, side=None),
        finding(text, 8, 22, assertion="uncertain", finding="mass", site=None, side=None, size_mm=12.0),
    ]
    (marked,) = mark_sentences(found, report(text))
    assert [(mark.start, mark.end, mark.label) for mark in marked.marks] == [
        (3, 22, "no infarct + no haemorrhage + ? 12 mm mass")
    ]


def test_a_sentence_that_is_not_in_its_section_is_left_out():
    assert mark_sentences([finding("Elsewhere.", 0, 4)], report("Nothing of the kind.")) == []


def test_the_choice_shows_every_kind_of_statement_first():
    rows = [
        finding(f"Infarct {number}.", 0, 7, row=number, assertion="absent" if number == 17 else "present")
        for number in range(20)
    ]
    reports = [{"row": n, "sections": [{"name": "findings", "text": f"Infarct {n}."}]} for n in range(20)]
    chosen = choose(mark_sentences(rows, reports), 3, seed=1)
    assert len(chosen) == 3
    assert {"absent", "present"} == {mark.assertion for marked in chosen for mark in marked.marks}


def test_html_and_markdown_show_text_as_it_stands():
    text = "A <b> infarct, 5*5 | ___."
    marked = mark_sentences([finding(text, 6, 13)], report(text))
    html = to_html(marked)
    assert "<b>" not in html.split("<body")[1]
    assert "left thalamus infarct" in html
    assert to_rows(marked) == [[r"A \<b> **infarct**, 5\*5 | \_\_\_.", "left thalamus infarct"]]
