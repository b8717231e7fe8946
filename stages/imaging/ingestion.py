"""From a tree of DICOM files to NIfTI volumes and the tables about them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from joblib import cpu_count
from tqdm import tqdm

from stages.artifacts import disk, tables, watchdog
from stages.artifacts.identity import SiteKey
from stages.artifacts.imaging_tables import IDENTIFIERS, LEDGER, SERIES
from stages.artifacts.transaction import replaced_together
from stages.imaging.conversion import Converter, Job, Outcome, find_dcm2niix
from stages.imaging.dicom import Identity
from stages.imaging.identifiers import identifier_rows
from stages.imaging.ledger import ledger_row
from stages.imaging.patients import forget_shared_numbers
from stages.imaging.planning import Plan, make_jobs, make_plan
from stages.imaging.scanning import Scanned, scan
from stages.imaging.scratch import remove_stale_scratch
from stages.imaging.series import series_row, study_days, study_id
from stages.imaging.settings import ConversionSettings

logger = logging.getLogger(__name__)

NIFTI_FOLDER = "nifti"
# In the order in which they take their places; who reads the series finds the rest.
_OUTPUTS = (NIFTI_FOLDER, "ledger.parquet", "identifiers.parquet", "series.parquet")
_REASON_OF_FAILURE = {"time": "conversion_timeout", "memory": "out_of_memory", "crash": "decoder_crashed"}


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
        DiskFullError: if there is no room; an earlier result stays as it was.
    """
    if not dicom.is_dir():
        raise FileNotFoundError(f"{dicom}: no such folder; set cohort.dicom in params.yaml or pass --dicom")
    find_dcm2niix()
    remove_stale_scratch()
    files, num_shared = forget_shared_numbers(scan(dicom, settings))
    if num_shared:
        logger.warning(
            "convert_dicom: %d accession numbers belong to several patients (placeholders, or those of several sites); "
            "their studies are known by StudyInstanceUID, and no report, truth or mask is linked to them; export them "
            "again with numbers of their own",
            num_shared,
        )
    plan = make_plan(files, settings)
    series_ids = [group.series_id(key) for group in plan.groups]
    jobs = list(make_jobs(files, plan, series_ids).values())
    with replaced_together(out, _OUTPUTS) as new:
        converter = Converter(dicom, work, new / NIFTI_FOLDER)
        converter.nifti.mkdir()
        outcomes = _convert(converter, jobs, settings)
        plan.reasons |= {number: outcome.reason for number, outcome in outcomes.items() if outcome.reason}
        _write_tables(new, files, plan, series_ids, outcomes, key)
    # Once more: processes of a run that was killed just before this one may have outlived its start.
    remove_stale_scratch()
    _forget(converter, jobs, settings)
    _summarise(files, plan, outcomes)


def _convert(converter: Converter, bundles: list[list[Job]], settings: ConversionSettings) -> dict[int, Outcome]:
    results = watchdog.run(
        converter.convert,
        bundles,
        num_workers=min(cpu_count(), len(bundles)),
        timeout_s=settings.series_timeout_s,
        memory_bytes=settings.series_memory_bytes,
    )
    outcomes: dict[int, Outcome] = {}
    for number, answers in tqdm(results, "studies", len(bundles), disable=None):
        for job, answer in zip(bundles[number], answers, strict=True):
            is_lost = isinstance(answer, watchdog.Failure)
            outcomes[job.number] = Outcome(job.number, _REASON_OF_FAILURE[answer.kind]) if is_lost else answer
    return outcomes


def _forget(converter: Converter, bundles: list[list[Job]], settings: ConversionSettings) -> None:
    """Take out of the cache what belongs to studies that are no longer there."""
    used = {converter.cached(job).name for jobs in bundles for job in jobs}
    entries = converter.cache.glob("??/*.nii.gz*")
    num_removed = disk.prune(entries, lambda path: path.name in used, settings.keep_days)
    if num_removed:
        logger.info("convert_dicom: %d files that no run used any longer left the cache", num_removed)


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
