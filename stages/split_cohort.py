"""Split a cohort by patient and account for every file, series and study on the way."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stages import params as parameters
from stages.artifacts import cohort_tables, tables
from stages.evaluation.cohort import Cohort
from stages.evaluation.flow import Pair, count_flow, flow_table, judge_pairs, require_pairs
from stages.evaluation.leakage import num_shared_patients, require_no_shared_patients, text_overlap
from stages.evaluation.splitting import TRAIN, SplitParams, assign_splits, gather_patients

logger = logging.getLogger(__name__)


def main(
    converted: Annotated[Path, typer.Option(help="Folder with series.parquet and ledger.parquet.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet.")],
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts.parquet and pairs.parquet.")],
    truth: Annotated[Path, typer.Option(help="Folder with studies.parquet and labels.parquet by study id.")],
    out: Annotated[Path, typer.Option(help="Table of splits.")],
    flow: Annotated[Path, typer.Option(help="Table of the cohort's flow.")],
    metrics: Annotated[Path, typer.Option(help="JSON of counts and leakage.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = parameters.DEFAULT_PATH,
) -> None:
    """Write splits, cohort flow and leakage metrics."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = parameters.load("split_cohort", SplitParams, params)
    cohort = Cohort.load(converted, volumes, reports, texts, truth)
    pairs = judge_pairs(cohort, set(values.withheld_sequences))
    require_pairs(cohort, pairs)
    patient_of = cohort.patient_of()
    split_of = _split_studies(cohort, pairs, values)
    require_no_shared_patients(patient_of, split_of)

    rows = [{"study_id": s, "patient_id": patient_of[s], "split": split} for s, split in split_of.items()]
    tables.write(out, tables.from_rows(cohort_tables.SPLIT_TABLE, rows), cohort_tables.SPLIT_TABLE)
    tables.write(flow, flow_table(count_flow(cohort, pairs, split_of)), cohort_tables.FLOW)
    summary = _summarise(cohort, pairs, split_of, values.near_duplicate_ratio)
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    logger.info("split_cohort: %s", ", ".join(f"{split} {n}" for split, n in summary["num_studies"].items()))


def _split_studies(cohort: Cohort, pairs: list[Pair], values: SplitParams) -> dict[str, str]:
    """Split of every study with a usable pair, in the order in which the reports bring them."""
    patient_of = cohort.patient_of()
    paired = {pair.study_id for pair in pairs if pair.loss is None}
    study_ids = [study_id for study_id in cohort.reported_studies() if study_id in paired]
    patients = gather_patients(
        study_ids, patient_of, cohort.declared_sets(), cohort.vendors_of_patients(), cohort.present_findings()
    )
    splits = assign_splits(patients, values)
    return {study_id: splits[patient_of[study_id]] for study_id in study_ids}


def _summarise(cohort: Cohort, pairs: list[Pair], split_of: Mapping[str, str], near_ratio: float) -> dict[str, Any]:
    """Counts by split, and how much of its text each split shares with training."""
    patient_of, findings, text_of = cohort.patient_of(), cohort.present_findings(), cohort.text_of()
    members: dict[str, list[str]] = {split: [] for split in cohort_tables.SPLITS if split in set(split_of.values())}
    texts: dict[str, list[str]] = {split: [] for split in members}
    for study_id, split in split_of.items():
        members[split].append(study_id)
    for pair in pairs:
        if pair.loss is None and pair.study_id in split_of:
            texts[split_of[pair.study_id]].append(text_of[pair.text_id])
    counts = {split: Counter(code for s in ids for code in findings.get(s, ())) for split, ids in members.items()}
    return {
        "num_patients": {split: len({patient_of[s] for s in ids}) for split, ids in members.items()},
        "num_studies": {split: len(ids) for split, ids in members.items()},
        "num_studies_with_finding": {split: dict(sorted(counter.items())) for split, counter in counts.items()},
        "texts_shared_with_train": text_overlap(texts, TRAIN, near_ratio),
        "num_shared_patients": num_shared_patients(patient_of, split_of),
    }


if __name__ == "__main__":
    typer.run(main)
