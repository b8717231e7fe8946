"""Read the cases of every method and estimate what the tables show."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
from joblib import Parallel, delayed, parallel_config

from stages.artifacts import evaluation_tables, tables
from stages.artifacts.tables import Contract
from stages.evaluation.areas import Rules, classification_estimates
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.estimates import Estimates, measure_estimates, retrieval_estimates
from stages.evaluation.quantities import CLASSIFICATION, FINETUNING, RETRIEVAL, VALIDATION
from stages.evaluation.tables import Results, TabulateParams
from stages.evaluation.tasks import REFERENCES, TASKS, is_listed

_CONTRACTS = {
    RETRIEVAL: evaluation_tables.RETRIEVAL_CASES,
    CLASSIFICATION: evaluation_tables.CLASSIFICATION_CASES,
    FINETUNING: evaluation_tables.CLASSIFICATION_CASES,
}


def collect(
    folder: Path,
    *,
    objectives: list[str],
    params: TabulateParams,
    rules: Rules,
    is_simulated: bool,
    evaluated: Mapping[str, Collection[str]],
) -> Results:
    """Estimate everything for the reference rows and every objective, in this order.

    What is read follows from the tasks and the parameters, never from what lies in the folder: results
    of a dropped objective may still be there. A process holds the cases of one method at a time.

    Args:
        folder: holds ``<task>/<name>.parquet``.
        objectives: names of the pretraining objectives.
        params: of the tables.
        rules: which classes count in the macro average, and which are two-class tasks.
        is_simulated: whether the cohort is.
        evaluated: by task, the objectives that have cases of it; all of them for a task that is not named.

    Raises:
        ValueError: if the reference method is no objective.
    """
    if params.reference not in objectives:
        raise ValueError(
            f"tabulate_results.reference: {params.reference!r} is no objective, expected one of {objectives}; "
            "name one of params.yaml's objectives"
        )
    sources = {
        task.name: {
            name: folder / task.name / f"{name}.parquet"
            for name in (*task.references, *objectives)
            if name not in objectives or name in evaluated.get(task.name, objectives)
        }
        for task in TASKS
    }
    resamplings = draw_resamplings(sources, params)
    names = (*REFERENCES, *objectives)
    files = [{task: of_task[name] for task, of_task in sources.items() if name in of_task} for name in names]
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs=params.num_workers)(
            delayed(estimate_method)(of_method, resamplings, params, rules) for of_method in files
        )
    estimates = {name: one for name, one in zip(names, found, strict=True) if one or name in objectives}
    return Results(params, estimates, is_simulated, subtypes=tuple(rules.subtypes))


def read_source(path: Path, contract: Contract) -> str:
    """Tell where a table's content comes from: truth if any row does, as the evaluations choose."""
    sources = set(tables.read(path, contract, columns=["source"])["source"].to_pylist())
    return "truth" if "truth" in sources else next(iter(sorted(sources)), "none")


def _contract(task: str) -> Contract:
    return _CONTRACTS.get(task, evaluation_tables.MEASURE_CASES)


def estimate_method(
    files: Mapping[str, Path], resamplings: Mapping[str, Resampling], params: TabulateParams, rules: Rules
) -> Estimates:
    """Estimate everything of one method from its cases of each task."""
    estimates: Estimates = {}
    for task, path in files.items():
        found = _estimate(task, _read(path, _contract(task)), resamplings, params, rules)
        estimates |= {quantity: one for quantity, one in found.items() if is_listed(quantity, params.primary_split)}
    return estimates


def _estimate(
    task: str, cases: pd.DataFrame, resamplings: Mapping[str, Resampling], params: TabulateParams, rules: Rules
) -> Estimates:
    if task == RETRIEVAL:
        return retrieval_estimates(cases, resamplings, min_patients=params.min_patients)
    if task in (CLASSIFICATION, FINETUNING):
        return classification_estimates(cases, resamplings, rules=rules)
    return measure_estimates(cases, resamplings, task=task, min_patients=params.min_patients)


def _read(path: Path, contract: Contract) -> pd.DataFrame:
    table = tables.read(path, contract)
    for position, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(position, field.name, table.column(position).dictionary_encode())
    return table.to_pandas()


def draw_resamplings(sources: Mapping[str, Mapping[str, Path]], params: TabulateParams) -> dict[str, Resampling]:
    """Draw the patients of each split once for all tasks, so that every comparison is paired."""
    patients: dict[str, dict[str, None]] = {}
    keys = ["split", "patient_id"]
    for task, files in sources.items():
        for path in files.values():
            cases = tables.read(path, _contract(task), columns=keys).group_by(keys, use_threads=False).aggregate([])
            for split, patient_id in zip(cases["split"].to_pylist(), cases["patient_id"].to_pylist(), strict=True):
                patients.setdefault(split, {})[patient_id] = None
    return {
        split: Resampling.draw(list(of_split), params.num_resamples, params.seed)
        for split, of_split in patients.items()
        if split != VALIDATION
    }
