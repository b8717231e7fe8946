"""Draw where the objectives see the lesions of a few test studies, and which voxels drive their scores."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import RootModel

from stages.evaluation.example_figures import draw_all, write_page
from stages.evaluation.examples import ExampleParams, Examples, choose_cases, find_models
from stages.evaluation.grounding_inputs import GroundingInputs, GroundingPaths
from stages.evaluation.localisation import LocalisationParams
from stages.evaluation.publication import SimulatedFolder
from stages.params import DEFAULT_PATH, load
from stages.pretraining.export import load_encoders

logger = logging.getLogger(__name__)


class Objectives(RootModel[dict[str, Any]]):
    """Section ``objectives``: encoders of others may still lie in the folder."""


def main(
    models: Annotated[Path, typer.Option(help="Folder with the exported encoders of every objective.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs, prompts and sentence embeddings.")],
    findings: Annotated[Path, typer.Option(help="Statements of the reports (Parquet).")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    masks: Annotated[Path, typer.Option(help="Folder with lesion masks on the volume grid.")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    out: Annotated[Path, typer.Option(help="Folder for the figures and a page about them.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write grounding.png and saliency.png, or a page that says why there are none."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("draw_saliency", ExampleParams, params)
    shared = load("evaluate_localisation", LocalisationParams, params)
    simulated = load("tabulate_results.simulated_folder", SimulatedFolder, params)
    torch.set_num_threads(shared.num_threads)
    is_simulated = simulated.holds(cohort)
    paths = GroundingPaths(volumes, texts, findings, splits, masks)
    known = load("objectives", Objectives, params).root
    names = [name for name in find_models(models, section) if name in known]
    if not is_simulated and not section.publish_examples:
        missing = "a real cohort is shown only if draw_saliency.publish_examples says so"
    elif not names:
        missing = f"no objective has encoders of seed {section.seed} in one space with texts"
    elif not (inputs := find_inputs(models / names[0], paths, section)).cases:
        missing = f"no study of the {section.split} split has a lesion mask of a finding to show"
    else:
        missing = ""
        examples = Examples.collect({name: models / name for name in names}, inputs, section, shared)
        draw_all(out, examples, is_simulated=is_simulated)
    write_page(out, section, missing=missing, is_simulated=is_simulated)
    logger.info("draw_saliency: %s", f"nothing drawn, {missing}" if missing else f"{len(names)} objectives")


def find_inputs(model: Path, paths: GroundingPaths, section: ExampleParams) -> GroundingInputs:
    """Find the studies to show; any model tells what an image is."""
    return choose_cases(
        GroundingInputs.load(load_encoders(model, section.seed), paths, [section.split]), section.findings
    )


if __name__ == "__main__":
    typer.run(main)
