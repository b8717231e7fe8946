"""Key a cohort's truth by study, and label the studies that have none from their reports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts import report_tables, tables, truth_tables
from stages.artifacts.identity import SiteKey
from stages.evaluation.linking import LINKED_LABELS, link
from stages.evaluation.mining import label_table, mine_labels

logger = logging.getLogger(__name__)

STUDIES, LESIONS, LABELS = "studies.parquet", "lesions.parquet", "labels.parquet"
#: labels as the reports give them, of every study, whatever the truth
MINED = "mined.parquet"


def main(
    truth: Annotated[Path, typer.Option(help="Truth of the cohort by accession number; may be an empty folder.")],
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet and findings.parquet.")],
    site_key: Annotated[Path, typer.Option(help="Key that study ids are hashed under.")],
    out: Annotated[Path, typer.Option(help="Folder for studies, lesions, labels and mined labels (Parquet).")],
) -> None:
    """Link truth and mine labels."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    has_truth = any((truth / name).is_file() for name in (STUDIES, LESIONS, LABELS))
    key = SiteKey.load(site_key) if has_truth else None
    studies = link(truth / STUDIES, truth_tables.TRUTH_STUDIES, truth_tables.LINKED_STUDIES, key)
    lesions = link(truth / LESIONS, truth_tables.TRUTH_LESIONS, truth_tables.LINKED_LESIONS, key, ("lesion",))
    known = link(truth / LABELS, truth_tables.TRUTH_LABELS, LINKED_LABELS, key, ("finding",))
    mined = mine_labels(
        tables.read(reports / "findings.parquet", report_tables.FINDINGS),
        tables.read(reports / "reports.parquet", report_tables.REPORTS),
    )
    labels, mined_only = label_table(known.to_pylist(), mined), label_table([], mined)
    tables.write(out / STUDIES, studies, truth_tables.LINKED_STUDIES)
    tables.write(out / LESIONS, lesions, truth_tables.LINKED_LESIONS)
    tables.write(out / LABELS, labels, truth_tables.LABELS)
    tables.write(out / MINED, mined_only, truth_tables.LABELS)
    logger.info(
        "link_truth: %d studies and %d lesions with truth; %d labels, %d of them from truth",
        len(studies),
        len(lesions),
        len(labels),
        len(known),
    )


if __name__ == "__main__":
    typer.run(main)
