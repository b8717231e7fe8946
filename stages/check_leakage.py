"""Stop the pipeline where splits share patients or images, and count the texts that they share."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from stages.artifacts import audit_tables, tables
from stages.evaluation.gates import Row, SplitContents, check_leakage, require_closed_gates
from stages.evaluation.splitting import SplitParams
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


def main(
    series: Annotated[Path, typer.Option(help="Series of the cohort (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts.parquet and pairs.parquet.")],
    out: Annotated[Path, typer.Option(help="Table of counts to write (Parquet).")],
    metrics: Annotated[Path, typer.Option(help="The counts as shares (JSON).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Count what splits share; anything that they must not share is an error, and nothing is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    ratio = load("split_cohort", SplitParams, params).near_duplicate_ratio
    rows = check_leakage(SplitContents.load(series, splits, texts), ratio)
    require_closed_gates(rows)
    tables.write(out, tables.from_rows(audit_tables.LEAKAGE, rows), audit_tables.LEAKAGE)
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(summarise(rows), indent=2) + "\n", encoding="utf-8")
    logger.info("check_leakage: no patient and no image in two splits")


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Counts of the gates, and for each split the share of its texts that training holds too."""
    summary: dict[str, Any] = {row["check"]: row["count"] for row in rows if row["is_gate"]}
    for row in rows:
        if not row["is_gate"]:
            share = round(row["count"] / row["out_of"], 6) if row["out_of"] else 0.0
            summary.setdefault(row["split"], {})[row["check"]] = share
    return summary


if __name__ == "__main__":
    typer.run(main)
