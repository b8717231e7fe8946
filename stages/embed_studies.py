"""Embed every image, text and prompt with the encoders of one objective, for every seed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from pydantic import Field

from stages.artifacts import cohort_tables, report_tables, tables, tensors
from stages.params import DEFAULT_PATH, Params, load
from stages.pretraining.embedding import ImageSource, Shown, embed_texts, text_rows
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.text_tower import load_text_inputs
from stages.pretraining.texts import PROMPTS_TABLE, TextTable

logger = logging.getLogger(__name__)


class EmbedStudies(Params):
    """Section ``embed_studies``.

    Attributes:
        batch_size: images, or texts, embedded at a time.
        num_threads: CPU threads; fixed, since sums depend on their order.
        max_resident_gib: images are held in memory up to this size, so that all seeds share one reading.
        patch_splits: splits whose patch embeddings are written too.
        view_splits: splits whose images are embedded again without each of their sequences.
        transfers: sequences that are shown alone in the place of another one, e.g. one that no pretraining saw.
    """

    batch_size: int = Field(default=64, ge=1)
    num_threads: int = Field(default=2, ge=1)
    max_resident_gib: float = Field(default=4.0, ge=0)
    patch_splits: list[str] = []
    view_splits: list[str] = []
    transfers: dict[str, str] = {}


def main(
    name: Annotated[str, typer.Option(help="Name of the objective, for the log.")],
    model: Annotated[Path, typer.Option(help="Folder of exported encoders.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    texts: Annotated[Path, typer.Option(help="Folder with texts, pairs, prompts and sentence embeddings.")],
    splits: Annotated[Path, typer.Option(help="splits.parquet.")],
    out: Annotated[Path, typer.Option(help="safetensors file for the embeddings.")],
    index: Annotated[Path, typer.Option(help="Parquet file that says what each row is.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write `<seed>/image|feature|text|prompt` (and `logit`, `patch`, `view`, `transfer` where there are any)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("embed_studies", EmbedStudies, params)
    torch.set_num_threads(section.num_threads)
    config = load_config(model)
    source = ImageSource(
        volumes, texts, splits, config, Standardiser.load(model), section.batch_size, section.max_resident_gib
    )
    shown = Shown.open(source, set(section.view_splits), section.transfers)
    inputs = load_text_inputs(config.text, texts)
    prompt_ids = np.arange(len(tables.read(texts / PROMPTS_TABLE, report_tables.PROMPTS, ["prompt_id"])))
    text_ids = np.flatnonzero(~TextTable.load(texts).is_flipped_T)
    arrays: dict[str, np.ndarray] = {}
    for seed in (seeds := exported_seeds(model)):
        towers = load_encoders(model, seed)
        parts = shown.embed(towers, set(section.patch_splits))
        if config.aligns_text:
            parts["text"] = embed_texts(towers, inputs, "text", text_ids, section.batch_size)
            parts["prompt"] = embed_texts(towers, inputs, "prompt", prompt_ids, section.batch_size)
        arrays |= {f"{seed}/{kind}": values for kind, values in parts.items()}
    rows = [*shown.index_rows(config.sequences), *text_rows(text_ids, len(prompt_ids), texts)]
    tensors.write(out, arrays, {"classes": config.classes, "patch_splits": section.patch_splits})
    tables.write(index, tables.from_rows(cohort_tables.EMBEDDING_INDEX, rows), cohort_tables.EMBEDDING_INDEX)
    num_images = len(shown.whole.images)
    logger.info(
        "%s: %d images, %d texts, %d prompts, seeds %s", name, num_images, len(text_ids), len(prompt_ids), seeds
    )


if __name__ == "__main__":
    typer.run(main)
