"""What the README shows is what the repository holds."""

import re
import subprocess

from imports import PIPELINES, ROOT, stages_of

from stages.imaging.reasons import reference_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("| `")]


def test_the_picture_shows_every_stage():
    picture = README.split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"[a-z_]+(?= [-.]+> )|(?<=> )[a-z_]+", picture))
    assert drawn == {name for pipeline in PIPELINES for name in stages_of(pipeline)}


def test_the_results_table_is_the_committed_one():
    """Read from git: a run on another machine or with other parameters writes other figures."""
    shown = README.split("<!-- results -->")[1].split("<!-- /results -->")[0]
    page = subprocess.run(
        ["git", "show", ":results/README.md"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    first_table = page.split("## ")[1]
    assert table_rows(shown) == table_rows(first_table)
    assert ("†" in "".join(table_rows(shown))) == ("†:" in shown)


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_knows_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_the_reason_codes_are_those_of_the_ledger():
    shown = README.split("<!-- reasons -->")[1].split("<!-- /reasons -->")[0]
    assert shown.strip() == reference_table()
