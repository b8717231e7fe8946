"""From a tree of DICOM files to NIfTI volumes and the tables about them."""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from stages.artifacts import tables
from stages.artifacts.identity import SiteKey
from stages.artifacts.imaging_tables import IDENTIFIERS, LEDGER, SERIES
from stages.imaging.conversion import Converter, Job, Outcome, find_dcm2niix, remove_stale_scratch
from stages.imaging.dicom import Identity
from stages.imaging.identifiers import identifier_rows
from stages.imaging.ledger import ledger_row
from stages.imaging.planning import Plan, make_jobs, make_plan
from stages.imaging.scanning import Scanned, scan
from stages.imaging.series import series_row, study_days, study_id
from stages.imaging.settings import ConversionSettings

logger = logging.getLogger(__name__)

NIFTI_FOLDER = "nifti"


def ingest(dicom: Path, out: Path, work: Path, key: SiteKey, settings: ConversionSettings) -> None:
    """Convert an export and write ``series``, ``ledger`` and ``identifiers`` tables and NIfTI files.

    Args:
        dicom: folder with DICOM files and archives, in any arrangement.
        out: folder to write; an earlier result there is replaced.
        work: folder of the cache of converted series.
        key: key of the site that hashes every identifier.
        settings: limits and tolerances.

    Raises:
        FileNotFoundError: if the folder or the dcm2niix binary is missing.
    """
    if not dicom.is_dir():
        raise FileNotFoundError(f"{dicom}: no such folder; set cohort.dicom in params.yaml or pass --dicom")
    find_dcm2niix()
    remove_stale_scratch(max_age_s=2 * settings.series_timeout_s)
    files = scan(dicom, settings)
    plan = make_plan(files, settings)
    series_ids = [group.series_id(key) for group in plan.groups]
    nifti = out / f"{NIFTI_FOLDER}.partial"
    shutil.rmtree(nifti, ignore_errors=True)
    nifti.mkdir(parents=True)
    converter = Converter(dicom, work, nifti, settings.series_timeout_s)
    outcomes = _convert(converter, make_jobs(files, plan, series_ids))
    plan.reasons |= {number: outcome.reason for number, outcome in outcomes.items() if outcome.reason}
    _write_tables(out, files, plan, series_ids, outcomes, key)
    shutil.rmtree(out / NIFTI_FOLDER, ignore_errors=True)
    os.replace(nifti, out / NIFTI_FOLDER)
    _summarise(files, plan, outcomes)


def _convert(converter: Converter, bundles: dict[str, list[Job]]) -> dict[int, Outcome]:
    tasks = (delayed(_convert_bundle)(converter, jobs) for jobs in bundles.values())
    results = Parallel(n_jobs=-1, return_as="generator_unordered")(tasks)
    found = (outcome for bundle in tqdm(results, "studies", len(bundles), disable=None) for outcome in bundle)
    return {outcome.number: outcome for outcome in found}


def _convert_bundle(converter: Converter, jobs: list[Job]) -> list[Outcome]:
    return [converter.convert(job) for job in jobs]


def _write_tables(
    out: Path,
    files: list[Scanned],
    plan: Plan,
    series_ids: list[str],
    outcomes: dict[int, Outcome],
    key: SiteKey,
) -> None:
    identities: dict[str, dict[Identity, None]] = defaultdict(dict)
    for file in files:
        for image in file.images:
            identities[study_id(key, image.identity)].setdefault(image.identity)
    days = study_days(key, (identity for of_study in identities.values() for identity in of_study))
    rows = [
        series_row(key, group, series_ids[number], outcomes[number], days, NIFTI_FOLDER)
        for number, group in enumerate(plan.groups)
        if number not in plan.reasons
    ]
    hashed = [row for study, of_study in identities.items() for row in identifier_rows(key, study, of_study)]
    tables.write(out / "series.parquet", tables.from_rows(SERIES, rows), SERIES)
    tables.write(out / "identifiers.parquet", tables.from_rows(IDENTIFIERS, hashed), IDENTIFIERS)
    ledger = list(_ledger(files, plan, series_ids, key))
    tables.write(out / "ledger.parquet", tables.from_rows(LEDGER, ledger), LEDGER)


def _ledger(files: list[Scanned], plan: Plan, series_ids: list[str], key: SiteKey) -> Iterator[dict[str, Any]]:
    """One row a file: used if any of its images is, else with the reason of its first one."""
    verdicts: dict[int, tuple[str | None, str]] = {}
    for number, group in enumerate(plan.groups):
        reason = plan.reasons.get(number)
        copies = plan.copies.get(number, [])
        for items, verdict in ((group.slices, reason), (copies, "duplicate")):
            for item in items:
                if item.file not in verdicts or (verdict is None and verdicts[item.file][0] is not None):
                    verdicts[item.file] = (verdict, series_ids[number])
    for n, file in enumerate(files):
        reason, series_id = verdicts.get(n, (file.reason, None))
        yield ledger_row(key, file.location.path, file.location.member, reason=reason, series_id=series_id)


def _summarise(files: list[Scanned], plan: Plan, outcomes: dict[int, Outcome]) -> None:
    used = len(plan.groups) - len(plan.reasons)
    studies = {group.study_uid for number, group in enumerate(plan.groups) if number not in plan.reasons}
    reasons = Counter(plan.reasons.values())
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "none"
    logger.info(
        "convert_dicom: %d files, %d of %d series converted, %d studies; series set aside: %s",
        len(files), used, len(plan.groups), len(studies), listed,
    )  # fmt: skip
    if not used:
        logger.warning("convert_dicom: no series was converted; ledger.parquet says why for each file")
