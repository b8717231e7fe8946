"""Train the image and text towers with one objective, on every seed."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import export_encoders
from stages.pretraining.fingerprint import fingerprint
from stages.pretraining.inputs import Inputs, describe_towers
from stages.pretraining.methods import find_objective, read_params
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.pretraining.towers import TowerConfig, build_towers

logger = logging.getLogger(__name__)


def main(
    name: Annotated[str, typer.Option(help="Entry of `objectives` in the parameter file.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs and sentence embeddings.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    similarity: Annotated[Path, typer.Option(help="Similarity file; a folder stands for none.")],
    labels: Annotated[Path, typer.Option(help="labels.parquet; a folder stands for none.")],
    findings: Annotated[Path, typer.Option(help="findings.parquet.")],
    regions: Annotated[Path, typer.Option(help="Folder of the registered atlas; one without it stands for none.")],
    out: Annotated[Path, typer.Option(help="Folder for the exported encoders.")],
    curves: Annotated[Path, typer.Option(help="Folder for the training curves.")],
    metrics: Annotated[Path | None, typer.Option(help="JSON file for losses, throughput and memory.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints, kept between runs.")] = Path("work/pretrain"),
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Train every seed, resuming what was interrupted, and export the encoders."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    entry = load(f"objectives.{name}", ObjectiveEntry, params)
    shared = entry.override(load("pretrain", PretrainParams, params))
    objective = find_objective(entry.method)
    objective_params = read_params(objective, entry.params, f"objectives.{name}.params")
    inputs = Inputs(volumes, texts, splits, similarity, labels, findings, regions)
    needs = objective.needs(objective_params)
    corpus = inputs.load(shared, entry, needs)
    if missing := corpus.missing(needs):
        raise ValueError(
            f"objectives.{name}: method {entry.method!r} needs {missing}; set similarity, labels, regions or text_view"
        )
    towers = describe_towers(shared, entry, corpus, aligns_text=objective.aligns_text)
    shutil.rmtree(out, ignore_errors=True)
    if entry.is_trained:
        # Fabric and DVCLive take seconds to import; only a training needs them.
        from stages.pretraining.loop import Recipe, train_seeds

        folder = work / fingerprint(settings_of(shared, entry), inputs.files(needs))
        recipe = Recipe(shared, towers, entry.method, objective, objective_params, entry.hidden_share, folder, curves)
        report = train_seeds(corpus, recipe, out)
    else:
        report = draw_seeds(towers, shared.seeds, out, curves)
    corpus.bank.standardiser.save(out)
    if metrics is not None:
        write_metrics(metrics, report)
    logger.info("%s: trained on %d pairs; %s", name, len(corpus.training_rows), json.dumps(report))


def settings_of(shared: PretrainParams, entry: ObjectiveEntry) -> dict[str, Any]:
    """Collect what a training depends on; other seeds and where files lie make no difference.

    Args:
        shared: with what the entry has in its place.
        entry: of which the rest counts.
    """
    return {
        "pretrain": shared.model_dump(exclude={"seeds"}),
        "objective": entry.model_dump(exclude={"similarity", "labels", "regions", "batching", "updates"}),
    }


def draw_seeds(towers: TowerConfig, seeds: list[int], out: Path, curves: Path) -> dict[str, Any]:
    """Export encoders as they are drawn, without any training: the random reference."""
    curves.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        export_encoders(out, build_towers(towers, seed), seed)
    return {f"seed{seed}": {} for seed in seeds}


def write_metrics(path: Path, report: dict[str, Any]) -> None:
    """Write figures about the trainings as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
