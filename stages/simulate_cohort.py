"""Stage: simulate a cohort of head-MRI studies with reports and known truth."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from joblib import Parallel, delayed
from tqdm import tqdm

from stages.artifacts import tables
from stages.artifacts.identity import PUBLIC_KEY
from stages.artifacts.truth_tables import TRUTH_LABELS, TRUTH_LESIONS, TRUTH_STUDIES
from stages.params import DEFAULT_PATH, load
from stages.simulation.anatomy import Template, load_template
from stages.simulation.appearance import describe
from stages.simulation.archive import study_archive
from stages.simulation.cohort import CohortParams, StudyKey, draw_visit, stream, study_keys
from stages.simulation.narration import write_report
from stages.simulation.patient import draw_patient
from stages.simulation.truth_tables import label_rows, lesion_rows, mask_file, study_row

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyRows:
    """What one study adds to the tables of the cohort."""

    report: tuple[str, str, str]
    study: dict[str, Any]
    lesions: list[dict[str, Any]]
    labels: list[dict[str, Any]]


def main(
    out: Annotated[Path, typer.Option(help="Folder for dicom/, reports.csv, truth/, masks/ and site.key.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
) -> None:
    """Simulate studies, their reports and their truth."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cohort = load("simulate_cohort", CohortParams, params)
    for folder, suffix in (("dicom", ".zip"), ("masks", ".nii.gz"), ("truth", ".parquet")):
        _empty(out / folder, suffix)
    rows = simulate(cohort, out, jobs)
    write_tables(rows, out)
    (out / "site.key").write_text(PUBLIC_KEY + "\n", encoding="ascii")
    num_normal = sum(row.study["is_normal"] for row in rows)
    log.info(
        "simulated %d studies, %d of them normal, %d lesions", len(rows), num_normal, sum(len(r.lesions) for r in rows)
    )


def simulate(cohort: CohortParams, out: Path, jobs: int) -> list[StudyRows]:
    """Simulate every study, one process a core; archives and masks are written at once."""
    keys = study_keys(cohort)
    template = load_template()
    tasks = (delayed(simulate_study)(cohort, template, key, out) for key in keys)
    done = Parallel(n_jobs=min(jobs, max(1, len(keys))), return_as="generator")(tasks)
    return list(tqdm(done, total=len(keys), unit="study", disable=not sys.stderr.isatty()))


def simulate_study(cohort: CohortParams, template: Template, key: StudyKey, out: Path) -> StudyRows:
    """Simulate one study: write its archive and mask, return its rows."""
    visit = draw_visit(cohort, key)
    patient = draw_patient(cohort, template, visit)
    study = describe(visit, patient)
    text, language = write_report(study, stream(cohort, key.set, "text", key.index), cohort.narration)
    accession = visit.accession_number
    (out / "dicom" / f"{accession}.zip").write_bytes(study_archive(cohort, visit, patient))
    if not study.is_normal:
        (out / "masks" / f"{accession}.nii.gz").write_bytes(mask_file(patient))
    return StudyRows((accession, text, language), study_row(study), lesion_rows(study, patient), label_rows(study))


def write_tables(rows: Iterable[StudyRows], out: Path) -> None:
    """Write the reports and the truth, in the order of the cohort."""
    rows = list(rows)
    with (out / "reports.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["accession_number", "report_text", "language"])
        writer.writerows(row.report for row in rows)
    truth = out / "truth"
    tables.write(truth / "studies.parquet", tables.from_rows(TRUTH_STUDIES, (r.study for r in rows)), TRUTH_STUDIES)
    lesions = tables.from_rows(TRUTH_LESIONS, (lesion for r in rows for lesion in r.lesions))
    tables.write(truth / "lesions.parquet", lesions, TRUTH_LESIONS)
    labels = tables.from_rows(TRUTH_LABELS, (label for r in rows for label in r.labels))
    tables.write(truth / "labels.parquet", labels, TRUTH_LABELS)


def _empty(folder: Path, suffix: str) -> None:
    """Leave nothing of an earlier, larger cohort."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"*{suffix}"):
        old.unlink()


if __name__ == "__main__":
    typer.run(main)
