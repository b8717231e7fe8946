"""Judge how relevant studies are to one another, independently of any similarity used in training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from stages.artifacts import report_tables, tables, truth_tables
from stages.evaluation.contents import (
    Contents,
    contents_from_statements,
    contents_from_truth,
    statements_of_reports,
)
from stages.evaluation.gains import best_match_gains
from stages.evaluation.relevance import CLASSES, GAINS, write_gains

logger = logging.getLogger(__name__)


def main(
    truth: Annotated[Path, typer.Option(help="Folder with studies.parquet and lesions.parquet by study id.")],
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet and findings.parquet.")],
    texts: Annotated[Path, typer.Option(help="Folder with pairs.parquet: the studies that have a text.")],
    out: Annotated[Path, typer.Option(help="Folder for classes.parquet and gains.safetensors.")],
) -> None:
    """Write relevance classes and the gains between them."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    contents = _read_contents(truth, reports, texts)
    gains = best_match_gains(contents.kinds, contents.num_classes)
    tables.write(out / CLASSES, _class_table(contents), truth_tables.RELEVANCE_CLASSES)
    write_gains(out / GAINS, gains)
    logger.info(
        "judge_relevance: %d studies in %d classes by %s, %d abnormal, %d gains above 0",
        len(contents.study_ids),
        contents.num_classes,
        contents.source,
        sum(contents.is_abnormal),
        gains.nnz,
    )


def _read_contents(truth: Path, reports: Path, texts: Path) -> Contents:
    """Take contents from truth where the cohort knows its lesions, from the reports otherwise."""
    studies = tables.read(truth / "studies.parquet", truth_tables.LINKED_STUDIES)
    lesions = tables.read(truth / "lesions.parquet", truth_tables.LINKED_LESIONS)
    pairs = tables.read(texts / "pairs.parquet", report_tables.PAIRS)
    paired = list(dict.fromkeys(pairs["study_id"].to_pylist()))
    if len(studies) and len(lesions):
        contents = contents_from_truth(studies, lesions)
        num_unknown = len(set(paired) - set(contents.study_ids))
        if num_unknown:
            logger.warning("%d studies with a text have no truth; evaluations leave them out", num_unknown)
        return contents
    findings = tables.read(reports / "findings.parquet", report_tables.FINDINGS)
    statuses = tables.read(reports / "reports.parquet", report_tables.REPORTS)
    return contents_from_statements(paired, statements_of_reports(findings, statuses))


def _class_table(contents: Contents) -> pa.Table:
    columns = {
        "study_id": contents.study_ids,
        "relevance_class": contents.classes,
        "statement_set": contents.statement_sets,
        "is_abnormal": contents.is_abnormal,
        "source": [contents.source] * len(contents.study_ids),
    }
    return pa.table(columns, schema=truth_tables.RELEVANCE_CLASSES.schema)


if __name__ == "__main__":
    typer.run(main)
