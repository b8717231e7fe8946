import csv
import json
import os
from pathlib import Path

import extraction
import lexicon_coverage
import pytest
import typer

REAL = os.environ.get("SELIP_REAL_DATA")


def write(path, num_reports):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ("accession_number", "report_text"),
                *((f"A{i}", f"Infarct in the left thalamus, {i} mm.") for i in range(num_reports)),
            ]
        )
    return path


def test_figures_are_written_and_a_slow_run_is_an_error(tmp_path):
    reports, out = write(tmp_path / "r.csv", 20), tmp_path / "figures.json"
    extraction.main(reports, repeat=3, out=out)
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert (figures["reports"], figures["statements"], figures["repetitions"]) == (20, 20, 3)
    with pytest.raises(typer.Exit, match="1"):
        extraction.main(reports, repeat=1, minimum=1e9)


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="needs SELIP_REAL_DATA")
def test_indiana_reports_are_read_fast():
    """The aim is 300 a second on an idle core; a shared one gets a lower bar."""
    file = Path(str(REAL)) / "reports" / "indiana_reports.csv"
    extraction.main(file, accession_column="uid", text_column=["findings", "impression"], repeat=1, minimum=150)


def test_coverage_counts_the_words_that_no_phrase_covers(tmp_path, capsys):
    lexicon_coverage.main(write(tmp_path / "r.csv", 3))
    shown = capsys.readouterr().out
    assert "42.9% of 21 words are covered" in shown
    assert "infarct" not in shown
