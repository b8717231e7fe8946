import csv
import json
import os
from pathlib import Path

import extraction
import lexicon_coverage
import pytest
import typer
from imports import ROOT
from reports_of_cohort import write_reports
from ruamel.yaml import YAML

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


def test_columns_are_those_of_the_parameters(tmp_path):
    reports, parameters = tmp_path / "r.csv", tmp_path / "params.yaml"
    reports.write_text("id;text\nA1;Infarct in the left thalamus.\n", encoding="utf-8")
    section = YAML(typ="safe").load(ROOT / "params.yaml")["extract_findings"]
    section["columns"] = {"accession_number": "id", "report_text": "text"}
    YAML().dump({"extract_findings": section}, parameters)
    extraction.main(reports, repeat=1, out=tmp_path / "figures.json", params_path=parameters)
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["statements"] == 1


def test_coverage_counts_the_words_that_no_phrase_covers(tmp_path, capsys):
    texts = [f"Infarct in the left thalamus, {i} mm." for i in range(5)]
    lexicon_coverage.main(written(tmp_path, [*texts, "Quillfeather Quillfeather, infarct."]), min_studies=5)
    shown = capsys.readouterr().out
    assert "% of 38 words are covered" in shown
    assert "     5  mm" in shown
    assert "infarct" not in shown


def test_a_name_in_few_studies_is_not_printed(tmp_path, capsys):
    folder = written(tmp_path, ["Quillfeather Quillfeather saw an infarct."] * 4)
    lexicon_coverage.main(folder, min_studies=4)
    assert "     4  quillfeather" in capsys.readouterr().out
    lexicon_coverage.main(folder)
    assert "quillfeather" not in capsys.readouterr().out


def written(folder, texts):
    """Write reports as extract_findings does."""
    write_reports(folder, [(f"s{i}", "en", [(text, [])]) for i, text in enumerate(texts)])
    return folder
