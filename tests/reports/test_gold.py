import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from stages.reports.gold import load_gold, score, summarise, tally
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Place
from stages.reports.utterances import Located, Statement

LEXICON = Lexicon.load("head_mri")
GOLD = Path(__file__).parents[1] / "gold"


def annotation(finding, assertion="present", site=None, side=None, **rest):
    return {"finding": finding, "assertion": assertion, "site": site, "side": side, **rest}


def passage(tmp_path, statements, part="seen", **rest):
    entry = {"report_id": "x", "language": "en", "text": "…", "statements": statements, **rest}
    file = tmp_path / f"{part}_en.jsonl"
    file.write_text(json.dumps(entry) + "\n", encoding="utf-8")
    return load_gold(tmp_path, LEXICON)[0]


def said(finding, assertion="present", site=None, side=None, **rest):
    return Located(Statement(finding, Place(site, side), assertion, (0, 1), **rest), "body", 0, "…")


def counts(tallies, aspect="statements"):
    return tuple(sum(one.outcome == outcome and one.aspect == aspect for one in tallies) for outcome in range(3))


def test_a_place_that_the_annotation_leaves_open_fits_any(tmp_path):
    one = passage(tmp_path, [annotation("mass"), annotation("cyst", site="pineal")])
    assert counts(tally(0, one, [said("mass", site="insula", side="left"), said("cyst", site="pineal")])) == (2, 0, 0)
    assert counts(tally(0, one, [said("mass", "absent"), said("cyst")])) == (0, 2, 2)


def test_each_statement_matches_once_and_as_many_as_can(tmp_path):
    one = passage(tmp_path, [annotation("mass", side="left"), annotation("mass", site="insula")])
    both = [said("mass", site="insula", side="left"), said("mass", site="insula", side="right")]
    assert counts(tally(0, one, both)) == (2, 0, 0)
    assert counts(tally(0, one, both[:1])) == (1, 0, 1)


def test_optional_statements_are_no_error(tmp_path):
    one = passage(tmp_path, [annotation("mass")], optional=[annotation("oedema", "uncertain")])
    assert counts(tally(0, one, [said("mass"), said("oedema", "uncertain")])) == (1, 0, 0)
    assert counts(tally(0, one, [said("mass"), said("oedema")])) == (1, 1, 0)


def test_signals_and_sizes_count_where_they_are_annotated(tmp_path):
    gold = [annotation("mass", signals={"T2": "high"}, size_mm=12)]
    read = [said("mass", signals={"T2": "high", "T1": "low"}, size_mm=10.0)]
    tallies = tally(0, passage(tmp_path, gold, tags=[]), read)
    assert counts(tallies, "signals") == (1, 1, 0)
    assert counts(tallies, "sizes") == (0, 1, 1)
    assert counts(tally(0, passage(tmp_path, gold), read), "signals") == (0, 0, 0)


def test_scores_by_hand(tmp_path):
    one = passage(tmp_path, [annotation("mass"), annotation("cyst", "absent"), annotation("cyst")], part="held_out")
    tallies = tally(0, one, [said("mass"), said("cyst"), said("oedema")])
    rows = {(r["finding"], r["assertion"]): r for r in score([one], tallies, 10, 0) if r["aspect"] == "statements"}
    everything = rows[None, None]
    assert (everything["true_positives"], everything["false_positives"], everything["false_negatives"]) == (2, 1, 1)
    assert everything["precision"] == everything["recall"] == everything["f1"] == pytest.approx(2 / 3)
    assert rows["cyst", None]["f1"] == pytest.approx(2 / 3)
    assert rows["cyst", "absent"]["recall"] == 0
    assert rows["cyst", "absent"]["precision"] is None
    assert rows[None, "present"]["f1"] == pytest.approx(4 / 5)
    metrics = summarise(rows.values())["held_out"]["en"]
    assert metrics["statements"]["f1"] == 0.6667
    assert set(metrics["findings"]) == {"mass", "cyst", "oedema"}


def test_interval_agrees_with_a_slow_bootstrap(tmp_path):
    one = passage(tmp_path, [annotation("mass")])
    passages = [one] * 6
    tallies = [t for i in range(6) for t in tally(i, one, [said("mass" if i % 3 else "cyst")])]
    row = next(r for r in score(passages, tallies, 4000, 1) if r["finding"] is None)
    rng = np.random.default_rng(2)
    slow = []
    for _ in range(4000):
        drawn = [t for i in rng.integers(6, size=6) for t in tallies if t.passage == i]
        right, spurious, missed = counts(drawn)
        slow.append(2 * right / (2 * right + spurious + missed))
    assert (row["f1_low"], row["f1_high"]) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.1)


def test_no_gold_is_named(tmp_path):
    with pytest.raises(ValueError, match="no gold passages"):
        load_gold(tmp_path, LEXICON)


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"finding": "ghost"}, "finding 'ghost'"), ({"site": "foot"}, "site 'foot'"), ({"assertion": "so"}, "assertion")],
)
def test_unknown_codes_are_named_with_their_line(tmp_path, change, fault):
    with pytest.raises(ValueError, match=rf"seen_en.jsonl, line 1: {fault}"):
        passage(tmp_path, [annotation("mass") | change])


def test_the_gold_sets_are_whole():
    passages = load_gold(GOLD, LEXICON)
    assert len({one.name for one in passages}) == len(passages)
    for language in LEXICON.languages:
        assert sum(one.language == language for one in passages) >= 150


@pytest.mark.parametrize("file", sorted(GOLD.glob("held_out_*.jsonl")), ids=lambda file: file.name)
def test_held_out_passages_are_as_they_were_written(file):
    """Their SHA-256 stands in the README beside them."""
    assert hashlib.sha256(file.read_bytes()).hexdigest() in (GOLD / "README.md").read_text(encoding="utf-8")
