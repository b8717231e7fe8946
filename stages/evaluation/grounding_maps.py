"""Similarity maps that the towers of an objective make of phrases and patches.

Shape suffixes: B images, S sequences, P patches of a head, G patches of the whole grid, M prompts,
U sentences, D embedding; X stands for the spatial axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.evaluation.grounding_inputs import GroundingInputs
from stages.evaluation.localisation import KINDS, PROMPT, SENTENCE, Case, LocalisationParams, score_maps, to_rows
from stages.pretraining.embedding import embed_texts
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.standardisation import STEP
from stages.pretraining.towers import Towers

FloatArray = np.ndarray


def localise(
    name: str, model: Path, inputs: GroundingInputs, params: LocalisationParams
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score the maps of every seed of an objective.

    Returns:
        Rows of measure cases, and what else the metrics should tell: thresholds, and cases left out.
    """
    num_sequences = len(load_config(model).sequences)
    bank = inputs.open_bank(model, num_sequences, params.max_resident_gib)
    rows: list[dict[str, Any]] = []
    thresholds: dict[str, dict[str, float | None]] = {kind: {} for kind in KINDS}
    for seed in exported_seeds(model):
        towers = load_encoders(model, seed)
        vectors = phrase_vectors(towers, inputs, params)
        for kind, maps in similarity_maps(towers, bank, inputs.cases, vectors, params.batch_size).items():
            values, threshold = score_maps(inputs.cases, maps, params)
            rows += to_rows(inputs.cases, values, params, name=name, seed=seed, kind=kind)
            thresholds[kind][str(seed)] = threshold
    left_out = {kind: int((~inputs.has_phrase(kind)).sum()) for kind in KINDS}
    return rows, {"cases": len(inputs.cases), "cases_without_phrase": left_out, "iou_thresholds": thresholds}


def phrase_vectors(
    towers: Towers, inputs: GroundingInputs, params: LocalisationParams
) -> dict[str, list[FloatArray | None]]:
    """Vectors whose product with a normalised patch is the similarity to a phrase.

    For prompts that is what ``params.prompt_score`` says, for sentences the mean cosine with all those
    of the report that state the finding.

    Returns:
        By kind, the vector of each case, shape (D,); None where it has no phrase.
    """
    prompt_rows = np.arange(inputs.prompts.num_prompts)
    embedded_MD = embed_texts(towers, inputs.text_inputs, "prompt", prompt_rows, params.batch_size)
    by_finding = inputs.prompts.vectors(embedded_MD, is_difference=params.prompt_score == "difference")
    rows = sorted({row for of_case in inputs.sentences for row in of_case})
    embedded_UD = embed_texts(towers, inputs.text_inputs, "sentence", np.array(rows, dtype=np.int64), params.batch_size)
    unit_UD = functional.normalize(torch.from_numpy(embedded_UD).float(), dim=-1).numpy()
    place = {row: number for number, row in enumerate(rows)}
    return {
        PROMPT: [by_finding.get(case.finding) for case in inputs.cases],
        SENTENCE: [
            unit_UD[[place[row] for row in of_case]].mean(axis=0) if of_case else None for of_case in inputs.sentences
        ],
    }


@torch.inference_mode()
def similarity_maps(
    towers: Towers,
    bank: ImageBank,
    cases: Sequence[Case],
    vectors: Mapping[str, Sequence[FloatArray | None]],
    batch_size: int,
) -> dict[str, list[FloatArray | None]]:
    """Compare the patches of every case's images with its phrases.

    Args:
        towers: of one seed.
        bank: images, which ``Case.rows`` number.
        cases: what has to be found.
        vectors: by kind of phrase, the vector of each case; None where it has no phrase.
        batch_size: images at a time.

    Returns:
        By kind, the map of each case over the patches of its head, shape (P,): the mean over its images.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = towers.image.to(device)
    numbers_of: dict[int, list[int]] = {}
    for number, case in enumerate(cases):
        for row in case.rows:
            numbers_of.setdefault(row, []).append(number)
    maps: dict[str, list[FloatArray | None]] = {kind: [None] * len(cases) for kind in vectors}
    rows = list(numbers_of)
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        patches_BGD = encoder.encode_patches(*(part.to(device) for part in read_images(bank, batch)))  # type: ignore[operator]
        unit_BGD = functional.normalize(patches_BGD.float(), dim=-1).cpu().numpy()
        for row, unit_GD in zip(batch, unit_BGD, strict=True):
            for number in numbers_of[row]:
                case = cases[number]
                for kind, of_cases in vectors.items():
                    vector_D, before_P = of_cases[number], maps[kind][number]
                    if vector_D is not None:
                        map_P = unit_GD[case.target.patches_P] @ vector_D / len(case.rows)
                        maps[kind][number] = map_P if before_P is None else before_P + map_P
    return maps


@dataclass(frozen=True)
class Shown:
    """Images as an encoder is shown them.

    Attributes:
        rows: which images of the cohort they are.
        volumes_BSX: inputs of the image encoder.
        is_present_BS: which sequences each image has.
    """

    rows: Sequence[int]
    volumes_BSX: Tensor
    is_present_BS: Tensor


def show_images(bank: ImageBank, rows: Sequence[int]) -> Shown:
    """Read images for an encoder, with their rows."""
    return Shown(rows, *read_images(bank, rows))


def read_images(bank: ImageBank, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inputs of an image encoder: volumes (B, S, X) in deviations from the usual, and presence (B, S)."""
    volumes_BSX = torch.from_numpy(np.stack([bank.image(row) for row in rows])).float() * STEP
    return volumes_BSX, torch.from_numpy(bank.is_present_NS[list(rows)])
