"""Embed images and texts with exported towers, batch by batch.

Shape suffixes: N images, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.pretraining.augmentation import BatchWriter, Draws
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import NO_TEXT, ImageTable
from stages.pretraining.texts import Kind, TextInputs, read_texts
from stages.pretraining.towers import Towers


@torch.inference_mode()
def embed_images(towers: Towers, bank: ImageBank, batch_size: int, patch_rows: np.ndarray) -> dict[str, np.ndarray]:
    """Embed every image of a bank, in its order.

    Args:
        towers: exported towers.
        bank: the images.
        batch_size: images at a time.
        patch_rows: images whose patches are embedded too.

    Returns:
        ``image`` (N, D) in the shared space, ``feature`` (N, W) before its projection, ``logit``
        (N, C) where there is a label head, ``patch`` (rows, P, D) where rows are asked for; float16.
    """
    device = _default_device()
    image = towers.image.to(device)
    head = None if towers.label_head is None else towers.label_head.to(device)
    parts: dict[str, list[Tensor]] = {"image": [], "feature": []}
    for inputs in _image_batches(bank, np.arange(len(bank)), batch_size, device):
        feature = image.features(*inputs)  # type: ignore[operator]
        embedding = image.projection(feature)  # type: ignore[operator]
        parts["feature"].append(feature)
        parts["image"].append(embedding)
        if head is not None:
            parts.setdefault("logit", []).append(head(embedding))
    for inputs in _image_batches(bank, patch_rows, batch_size, device):
        parts.setdefault("patch", []).append(image.encode_patches(*inputs))  # type: ignore[operator]
    return {kind: torch.cat(values).half().cpu().numpy() for kind, values in parts.items()}


@torch.inference_mode()
def embed_texts(towers: Towers, inputs: TextInputs, kind: Kind, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Embed rows of texts or prompts in the shared space. Shape (rows, D), float16."""
    device = _default_device()
    tower = towers.text.to(device)
    parts = [torch.empty(0, towers.config.embedding_dim)]
    for first in range(0, len(rows), batch_size):
        batch = inputs.take(kind, rows[first : first + batch_size])
        parts.append(tower(**{name: values.to(device) for name, values in batch.items()}).cpu())
    return torch.cat(parts).half().numpy()


def index_rows(images: ImageTable, text_ids: np.ndarray, num_prompts: int, texts: Path) -> Iterator[dict[str, Any]]:
    """Say what each row of the embeddings is, in the order images, texts, prompts."""
    for row, text_id in enumerate(images.text_ids_N.tolist()):
        yield {
            "kind": "image",
            "row": row,
            "study_id": images.study_ids[row],
            "patient_id": images.patient_ids[row],
            "sequence": images.sequences[row],
            "split": images.splits[row],
            "text_id": None if text_id == NO_TEXT else text_id,
        }
    sequences = read_texts(texts)["sequence"].to_pylist()
    for row, text_id in enumerate(text_ids.tolist()):
        yield {"kind": "text", "row": row, "text_id": text_id, "sequence": sequences[text_id]}
    for row in range(num_prompts):
        yield {"kind": "prompt", "row": row, "prompt_id": row}


def _image_batches(
    bank: ImageBank, rows: np.ndarray, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    writer = BatchWriter(bank, batch_size)
    for first in range(0, len(rows), batch_size):
        picked = rows[first : first + batch_size]
        draws = Draws.none(bank.is_present_NS[picked], len(bank.shape))
        volumes = torch.from_numpy(writer.write(picked, draws))
        yield volumes.to(device), torch.from_numpy(draws.is_kept_BS).to(device)


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
