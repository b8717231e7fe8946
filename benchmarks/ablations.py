"""The ablation table: what each choice of a method is worth, on the same seeds, splits and cases as the results.

Every row of `ablations.yaml` becomes an objective of a copy of the repository, which DVC then runs:
data come from the cache, and only what differs is trained; what the copy has made already is not made
again. Each row of the CSV carries a hash of the parameters that it was made with.

Run as ``make ablations``.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from copies import ROOT, change, experiment, make_copy, read_yaml, run

from stages.evaluation.areas import Rules
from stages.evaluation.collection import draw_resamplings, estimate_method
from stages.evaluation.markdown import write_table
from stages.evaluation.publication import SimulatedFolder
from stages.evaluation.quantities import ALL, CLASSIFICATION, MACRO, REGIONS, RETRIEVAL, Quantity
from stages.evaluation.region_task import OWN
from stages.evaluation.tables import Results, TabulateParams

SPLIT, VALIDATION = "test", "validation"
FIGURES_OF = (RETRIEVAL, CLASSIFICATION)
FIGURES = {
    "nDCG@10": Quantity(RETRIEVAL, "image_to_text/ndcg@10", "", ALL),
    "R@10": Quantity(RETRIEVAL, "image_to_text/recall@10", "", ALL),
    "zero-shot AUC": Quantity(CLASSIFICATION, "zero_shot/auc", "", MACRO),
    "probe AUC, 1% of labels": Quantity(CLASSIFICATION, "linear_probe/auc", "", MACRO, 0.01),
    "probe AUC, 10% of labels": Quantity(CLASSIFICATION, "linear_probe/auc", "", MACRO, 0.1),
}
# Of the presence head of an objective that has regions.
OWN_FIGURES = {
    "region mAP, own head": Quantity(REGIONS, "region_ap", "", ALL),
    "presence AUC, own head": Quantity(REGIONS, "region_presence/auc", "", MACRO),
}
COLUMNS = (
    "ablation", "parameters", "changes", "figure", "split", "value", "low", "high", "n", "num_seeds",
    "default", "delta", "delta_low", "delta_high",
)  # fmt: skip
# Sections that the figures depend on, beside the entry of the objective and its similarity.
SECTIONS = (
    "simulate_cohort", "convert_dicom", "prepare_volumes", "extract_findings", "encode_texts", "split_cohort",
    "pretrain", "embed_studies", "evaluate_retrieval", "evaluate_classification",
)  # fmt: skip
# Sections that the figures of regions depend on besides, where an objective has them.
REGION_SECTIONS = ("register_atlas", "evaluate_regions")
# What intervals depend on; the rest of `tabulate_results` says which comparisons are shown.
TABULATED = ("seed", "num_resamples", "confidence", "min_patients")
# Rows that ask about another row than the default of their objective.
COMPARED_WITH = {"mlip_equal_flops": "clip_default", "gk_mvlp_equal_flops": "clip_default"}
HASH_DIGITS = 12
NONE = "data/none"

Changes = Mapping[str, Any]


def read_ablations(path: Path) -> dict[str, dict[str, Changes]]:
    """Read the changes of every ablation, by the objective that they start from."""
    return {base: dict(rows) for base, rows in read_yaml(path).items()}


def resolve(params: Any, base: str, changes: Changes) -> tuple[Any, Any]:
    """Entry of the objective under some changes, and of the similarity that it uses."""
    changed = copy.deepcopy(params)
    for dotted, value in changes.items():
        change(changed, dotted, value)
    return changed["objectives"][base], changed["similarities"]["convex"]


def parameter_hash(params: Any, entry: Any, similarity: Any) -> str:
    """Hash of every parameter that the figures of an ablation depend on."""
    used = {name: params[name] for name in (*SECTIONS, *(REGION_SECTIONS if has_regions(entry) else ()))}
    used["tabulate_results"] = {name: params["tabulate_results"][name] for name in TABULATED}
    used |= {"objective": entry, "similarity": similarity if entry["similarity"] != NONE else None}
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]


def pipeline_params(params: Any, ablations: Mapping[str, Mapping[str, Changes]]) -> Any:
    """Parameters of the copy: every ablation is an objective, with a similarity of its own where it differs."""
    changed = copy.deepcopy(params)
    changed["objectives"], default = {}, params["similarities"]["convex"]
    for base, rows in ablations.items():
        for name, changes in rows.items():
            entry, similarity = resolve(params, base, changes)
            if similarity != default and entry["similarity"] != NONE:
                changed["similarities"][name] = similarity
                entry["similarity"] = f"data/similarity/{name}.safetensors"
            changed["objectives"][name] = entry
    changed["evaluate_retrieval"]["splits"] = [VALIDATION, SPLIT]
    changed["evaluate_classification"]["splits"] = [SPLIT]
    changed["evaluate_regions"]["objectives"] = with_regions(changed)
    # Nothing of these is run, but DVC reads what they would depend on.
    for section in ("evaluate_generation", "evaluate_vqa"):
        changed[section]["objectives"] = list(changed["objectives"])[:1]
    return changed


def has_regions(entry: Any) -> bool:
    """Tell whether an objective is given regions of the atlas."""
    return bool(entry["regions"] != NONE)


def with_regions(params: Any) -> list[str]:
    """Objectives that are given regions of the atlas."""
    return [name for name, entry in params["objectives"].items() if has_regions(entry)]


def is_simulated(params: Any) -> bool:
    """Tell whether the cohort is the simulated one, as the results tables do."""
    simulated = SimulatedFolder(ROOT / params["tabulate_results"]["simulated_folder"])
    return simulated.holds(ROOT / params["cohort"]["dicom"])


def targets(names: list[str], with_own_head: list[str]) -> list[str]:
    """Stages that the figures of the ablations come from."""
    evaluated = [(task, name) for name in names for task in FIGURES_OF]
    evaluated += [(REGIONS, name) for name in with_own_head]
    return [f"results/dvc.yaml:evaluate_{task}@{name}" for task, name in evaluated]


def estimate(folder: Path, params: Any, names: list[str]) -> Results:
    """Estimate the figures of every ablation from the cases in a copy."""
    tabulate = TabulateParams.model_validate(json.loads(json.dumps(params["tabulate_results"])))
    classification = params["evaluate_classification"]
    least = params["evaluate_regions"]["min_positives"]
    rules = Rules(classification["min_positives"], tuple(classification["subtype_tasks"]), least)
    cases = folder / "data" / "evaluations"
    files = {name: {task: cases / task / f"{name}.parquet" for task in FIGURES_OF} for name in names}
    for name in with_regions(params):
        own = cases / REGIONS / name / f"{name}{OWN}.parquet"
        # An objective that has no presence head leaves the table of it empty.
        if pq.read_metadata(own).num_rows:
            files[name][REGIONS] = own
    sources = {
        task: {name: files[name][task] for name in names if task in files[name]} for task in (*FIGURES_OF, REGIONS)
    }
    resamplings = draw_resamplings(sources, tabulate)
    estimates = {name: estimate_method(files[name], resamplings, tabulate, rules) for name in names}
    return Results(tabulate, estimates, is_simulated=is_simulated(params))


def table_rows(
    results: Results, ablations: Mapping[str, Mapping[str, Changes]], params: Any, folder: Path
) -> list[Any]:
    """One row an ablation and figure, with the paired difference to the default of its objective."""
    rows = []
    for base, changes_of in ablations.items():
        for name, changes in changes_of.items():
            default = COMPARED_WITH.get(name, next(iter(changes_of)))
            about = {
                "ablation": name,
                "parameters": parameter_hash(params, *resolve(params, base, changes)),
                "changes": experiment(changes) if changes else "",
                "default": default,
            }
            # A mean over few patients may not be shown of a real cohort, and has no use but to choose by.
            if results.is_public:
                validation = _validation_figure(folder, name)
                rows.append(about | {"figure": "nDCG@10", "split": VALIDATION, "value": validation})
            for title, quantity in (FIGURES | OWN_FIGURES).items():
                if replace(quantity, split=SPLIT) in results.estimates[name]:
                    rows.append(about | {"figure": title, "split": SPLIT} | row_cells(results, name, default, quantity))
    return rows


def row_cells(results: Results, name: str, default: str, quantity: Quantity) -> dict[str, Any]:
    """Value of a row, and its paired difference to the row that it is compared with, where that has the figure."""
    quantity = replace(quantity, split=SPLIT)
    row = results.shown(name, quantity) | {"num_seeds": len(results.estimates[name][quantity].seeds)}
    if name == default or quantity not in results.estimates[default]:
        return row
    difference, _ = results.difference(quantity, name, default)
    if difference is None:
        return row
    return row | {"delta": difference.delta, "delta_low": difference.low, "delta_high": difference.high}


def _validation_figure(folder: Path, name: str) -> float:
    path = folder / "data" / "evaluations" / RETRIEVAL / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))[VALIDATION]["image_to_text"]["ndcg@10"]


def page(rows: list[Any], *, about: str) -> str:
    """The table in Markdown: an ablation a row, a figure a column; ``about`` names the cohort."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    columns = {f"{row['split']} {row['figure']}": None for row in rows}
    for row in rows:
        cells.setdefault((row["ablation"], row["changes"]), {})[f"{row['split']} {row['figure']}"] = _shown(row)
    body = [
        [f"`{name}`", *(own.get(column, "–") for column in columns), f"`{changes}`" if changes else "–"]
        for (name, changes), own in cells.items()
    ]
    return (
        "\n\n".join(
            [
                "# Ablations",
                f"{about}, mean over seeds. Values, and in brackets the 95% interval of the paired "
                "difference to the first row of the same objective, of `*_equal_flops` to `clip_default`; **bold** "
                "where it excludes 0. Nothing is adjusted for the number of rows: about one bold cell in twenty is "
                "expected without any effect. A default may be chosen by the validation column, never by the others. "
                "Made by `make ablations`; [`ablations.csv`](ablations.csv) holds the hash of all parameters of every "
                "row.",
                write_table(["ablation", *columns, "in the repository itself"], body),
            ]
        )
        + "\n"
    )


def _shown(row: Any) -> str:
    if row.get("value") is None:
        return "–"
    if row.get("delta") is None:
        return f"{row['value']:.3f}"
    text = f"{row['value']:.3f} [{row['delta_low']:+.3f}, {row['delta_high']:+.3f}]"
    return f"**{text}**" if row["delta_low"] > 0 or row["delta_high"] < 0 else text


def write_csv(path: Path, rows: list[Any]) -> None:
    """Write the rows with six decimals."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
        )


def main() -> None:
    """Run what differs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablations", type=Path, default=ROOT / "benchmarks" / "ablations.yaml")
    parser.add_argument("--copy", type=Path, default=ROOT / "work" / "ablations")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "ablations.csv")
    arguments = parser.parse_args()
    params, ablations = read_yaml(ROOT / "params.yaml"), read_ablations(arguments.ablations)
    names = [name for rows in ablations.values() for name in rows]
    changed = pipeline_params(params, ablations)
    # Some objective has to be the reference, though no table of the copy is made.
    changed["tabulate_results"]["reference"] = names[0]
    make_copy(arguments.copy, changed)
    run(arguments.copy, "dvc", "repro", *targets(names, with_regions(changed)))
    rows = table_rows(estimate(arguments.copy, changed, names), ablations, params, arguments.copy)
    about = "Simulated cohort" if is_simulated(params) else "Real cohort"
    write_csv(arguments.out, rows)
    arguments.out.with_suffix(".md").write_text(page(rows, about=about), encoding="utf-8")


if __name__ == "__main__":
    main()
