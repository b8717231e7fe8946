"""Read the cases of every method and estimate what the tables show."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from stages.artifacts import evaluation_tables, tables
from stages.artifacts.tables import Contract
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.cases import CHANCE, METADATA
from stages.evaluation.estimates import (
    CLASSIFICATION,
    RETRIEVAL,
    VALIDATION,
    Estimates,
    classification_estimates,
    retrieval_estimates,
)
from stages.evaluation.tables import Results, TabulateParams


def collect(
    folder: Path, *, objectives: list[str], params: TabulateParams, min_positives: int, is_simulated: bool
) -> Results:
    """Estimate everything for chance, metadata and every objective, in this order.

    What is read follows from the parameters, never from what lies in the folder: results of a dropped
    objective may still be there.

    Args:
        folder: holds ``retrieval/<name>.parquet`` and ``classification/<name>.parquet``.
        objectives: names of the pretraining objectives.
        params: of the tables.
        min_positives: positives that a class needs in a split to count in the macro average.
        is_simulated: whether the cohort is.

    Raises:
        ValueError: if the reference method is no objective.
    """
    if params.reference not in objectives:
        raise ValueError(
            f"tabulate_results.reference: {params.reference!r} is no objective, expected one of {objectives}; "
            "name one of params.yaml's objectives"
        )
    retrieval = {
        name: _read(folder / RETRIEVAL / f"{name}.parquet", evaluation_tables.RETRIEVAL_CASES)
        for name in (CHANCE, *objectives)
    }
    classification = {
        name: _read(folder / CLASSIFICATION / f"{name}.parquet", evaluation_tables.CLASSIFICATION_CASES)
        for name in (CHANCE, METADATA, *objectives)
    }
    resamplings = _draw_resamplings([*classification.values(), *retrieval.values()], params)
    estimates: dict[str, Estimates] = {}
    for name in (CHANCE, METADATA, *objectives):
        estimates[name] = {}
        if name in retrieval:
            estimates[name] |= retrieval_estimates(retrieval[name], resamplings)
        estimates[name] |= classification_estimates(classification[name], resamplings, min_positives=min_positives)
    return Results(params, estimates, is_simulated)


def read_source(path: Path, contract: Contract) -> str:
    """Tell where a table's content comes from: truth if any row does, as the evaluations choose."""
    sources = set(tables.read(path, contract, columns=["source"])["source"].to_pylist())
    return "truth" if "truth" in sources else next(iter(sorted(sources)), "none")


def _read(path: Path, contract: Contract) -> pd.DataFrame:
    table = tables.read(path, contract)
    for position, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(position, field.name, table.column(position).dictionary_encode())
    return table.to_pandas()


def _draw_resamplings(frames: list[pd.DataFrame], params: TabulateParams) -> dict[str, Resampling]:
    patients: dict[str, dict[str, None]] = {}
    for frame in frames:
        for split, part in frame.groupby("split", sort=False, observed=True):
            patients.setdefault(str(split), {}).update(dict.fromkeys(part["patient_id"].unique()))
    return {
        split: Resampling.draw(list(of_split), params.num_resamples, params.seed)
        for split, of_split in patients.items()
        if split != VALIDATION
    }
