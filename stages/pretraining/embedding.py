"""Embed images and texts with exported towers, batch by batch.

Shape suffixes: N images, V views, S sequences, D embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.imaging.shards import VolumeStore
from stages.pretraining.augmentation import BatchWriter, Draws
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.pairs import NO_TEXT, ImageTable, load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.texts import Kind, TextInputs, read_texts
from stages.pretraining.towers import TowerConfig, Towers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSource:
    """Where images are read from, and how encoders see them.

    Attributes:
        volumes: folder with ``volumes.parquet`` and its shards.
        texts: folder with ``pairs.parquet``.
        splits: ``splits.parquet``.
        config: of the encoders.
        standardiser: of the encoders.
        batch_size: images embedded at a time.
        max_resident_gib: images are held in memory up to this size.
    """

    volumes: Path
    texts: Path
    splits: Path
    config: TowerConfig
    standardiser: Standardiser
    batch_size: int
    max_resident_gib: float

    def open(self) -> ImageSet:
        """Open the images of the cohort, each with every sequence that the encoder reads."""
        store = VolumeStore(self.volumes)
        images = load_images(store.table, self.texts, self.splits, self.config.sequences, self.config.unit)
        return self._image_set(store, images, images.series)

    def transfer(self, source: str, target: str) -> ImageSet | None:
        """Open the images of one sequence, shown alone in the place of another one.

        Args:
            source: the sequence that is shown.
            target: the sequence in whose place it stands, and by whose statistics it is standardised.

        Returns:
            The images, None where no study has the sequence.

        Raises:
            ValueError: if the encoder does not read ``target``.
        """
        if target not in self.config.sequences:
            raise ValueError(
                f"embed_studies.transfers: {source} stands for {target!r}, which the encoder does not read; "
                f"expected one of {self.config.sequences}, or take the entry out"
            )
        store = VolumeStore(self.volumes)
        images = load_images(store.table, self.texts, self.splits, [source], self.config.unit)
        if not len(images):
            logger.info("no study has %s: nothing is shown in the place of %s", source, target)
            return None
        place = self.config.sequences.index(target)
        return self._image_set(store, images, [{place: own[0]} for own in images.series])

    def _image_set(self, store: VolumeStore, images: ImageTable, series: list[dict[int, str]]) -> ImageSet:
        bank = ImageBank(
            store,
            series,
            len(self.config.sequences),
            standardise_by=self.standardiser,
            max_resident_gib=self.max_resident_gib,
        )
        return ImageSet(images, bank, BatchWriter(bank, self.batch_size), self.batch_size)


@dataclass(frozen=True)
class ImageSet:
    """Images and their voxels, in one order.

    Attributes:
        images: a row an image.
        bank: their voxels.
        writer: makes batches of them; one for all seeds, since its buffers take long to fill.
        batch_size: images of a batch.
    """

    images: ImageTable
    bank: ImageBank
    writer: BatchWriter
    batch_size: int

    def batches(self, rows: np.ndarray, is_kept: np.ndarray, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs of an image encoder.

        Args:
            rows: the images.
            is_kept: which of its sequences each shows, shape (rows, S).
            device: of the inputs.
        """
        for first in range(0, len(rows), self.batch_size):
            here = slice(first, first + self.batch_size)
            draws = Draws.none(is_kept[here], len(self.bank.shape))
            volumes = torch.from_numpy(self.writer.write(rows[here], draws))
            yield volumes.to(device), torch.from_numpy(draws.is_kept_BS).to(device)


@dataclass(frozen=True)
class Views:
    """Images of which one sequence is withheld.

    Attributes:
        rows_V: the image.
        withheld_V: number of the withheld sequence.
    """

    rows_V: np.ndarray
    withheld_V: np.ndarray

    @classmethod
    def of(cls, is_present_NS: np.ndarray, rows: np.ndarray) -> Views:
        """Withhold each sequence in turn from the images that keep another one.

        Args:
            is_present_NS: which sequences each image has.
            rows: the images that count.
        """
        rows = rows[is_present_NS[rows].sum(axis=1) > 1]
        image_V, withheld_V = np.nonzero(is_present_NS[rows])
        return cls(rows[image_V], withheld_V)

    def __len__(self) -> int:
        return len(self.rows_V)

    def is_kept(self, is_present_NS: np.ndarray) -> np.ndarray:
        """Which sequences each view shows. Shape (V, S)."""
        is_kept_VS = is_present_NS[self.rows_V]
        is_kept_VS[np.arange(len(self)), self.withheld_V] = False
        return is_kept_VS


@dataclass(frozen=True)
class Shown:
    """Everything that an image encoder is shown.

    Attributes:
        whole: the images of the cohort.
        views: images of which one sequence is withheld.
        transfers: images of one sequence in the place of another one, by the sequence that is shown.
    """

    whole: ImageSet
    views: Views
    transfers: dict[str, ImageSet]

    @classmethod
    def open(cls, source: ImageSource, view_splits: set[str], transfers: dict[str, str]) -> Shown:
        """Open the images of the cohort, views of those of some splits, and transfers (source → place)."""
        whole = source.open()
        views = Views.of(whole.bank.is_present_NS, whole.images.rows_in(view_splits))
        opened = {shown: source.transfer(shown, place) for shown, place in transfers.items()}
        return cls(whole, views, {shown: images for shown, images in opened.items() if images is not None})

    def embed(self, towers: Towers, patch_splits: set[str]) -> dict[str, np.ndarray]:
        """Embed the images (``embed_images``), ``view`` (V, D) and ``transfer`` (rows, D); float16."""
        parts = embed_images(towers, self.whole, self.whole.images.rows_in(patch_splits))
        empty = np.empty((0, towers.config.embedding_dim), dtype=np.float16)
        nowhere = np.empty(0, dtype=np.int64)
        transferred = [embed_images(towers, one, nowhere)["image"] for one in self.transfers.values()]
        views_VD = embed_views(towers, self.whole, self.views)
        return parts | {"view": views_VD, "transfer": np.concatenate([empty, *transferred])}

    def index_rows(self, sequences: list[str]) -> Iterator[dict[str, Any]]:
        """Say what each row of the embeddings is; ``sequences`` are those of the encoder."""
        whole = list(_rows_of(self.whole.images, "image"))
        yield from whole
        views = zip(self.views.rows_V.tolist(), self.views.withheld_V.tolist(), strict=True)
        for row, (image, withheld) in enumerate(views):
            yield whole[image] | {"kind": "view", "row": row, "sequence": sequences[withheld]}
        transferred = [
            (source, of_image)
            for source, one in self.transfers.items()
            for of_image in _rows_of(one.images, "transfer")
        ]
        for row, (source, of_image) in enumerate(transferred):
            yield of_image | {"row": row, "sequence": source}


@torch.inference_mode()
def embed_images(towers: Towers, shown: ImageSet, patch_rows: np.ndarray) -> dict[str, np.ndarray]:
    """Embed every image of a set, in its order.

    Args:
        towers: exported towers.
        shown: the images.
        patch_rows: images whose patches are embedded too.

    Returns:
        ``image`` (N, D) in the shared space, ``feature`` (N, W) before its projection, ``logit``
        (N, C) where there is a label head, ``patch`` (rows, P, D) where rows are asked for; float16.
    """
    device = _default_device()
    image = towers.image.to(device)
    head = None if towers.label_head is None else towers.label_head.to(device)
    is_present_NS = shown.bank.is_present_NS
    parts: dict[str, list[Tensor]] = {"image": [], "feature": []}
    for inputs in shown.batches(np.arange(len(shown.bank)), is_present_NS, device):
        feature = image.features(*inputs)  # type: ignore[operator]
        embedding = image.projection(feature)  # type: ignore[operator]
        parts["feature"].append(feature)
        parts["image"].append(embedding)
        if head is not None:
            parts.setdefault("logit", []).append(head(embedding))
    for inputs in shown.batches(patch_rows, is_present_NS[patch_rows], device):
        parts.setdefault("patch", []).append(image.encode_patches(*inputs))  # type: ignore[operator]
    return {kind: torch.cat(values).half().cpu().numpy() for kind, values in parts.items()}


@torch.inference_mode()
def embed_views(towers: Towers, shown: ImageSet, views: Views) -> np.ndarray:
    """Embed views of images in the shared space. Shape (V, D), float16."""
    device = _default_device()
    image = towers.image.to(device)
    batches = shown.batches(views.rows_V, views.is_kept(shown.bank.is_present_NS), device)
    parts = [torch.empty(0, towers.config.embedding_dim), *(image(*inputs).cpu() for inputs in batches)]
    return torch.cat(parts).half().numpy()


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


def text_rows(text_ids: np.ndarray, num_prompts: int, texts: Path) -> Iterator[dict[str, Any]]:
    """Say what each row of the embeddings of texts and prompts is."""
    sequences = read_texts(texts)["sequence"].to_pylist()
    for row, text_id in enumerate(text_ids.tolist()):
        yield {"kind": "text", "row": row, "text_id": text_id, "sequence": sequences[text_id]}
    for row in range(num_prompts):
        yield {"kind": "prompt", "row": row, "prompt_id": row}


def _rows_of(images: ImageTable, kind: str) -> Iterator[dict[str, Any]]:
    for row, text_id in enumerate(images.text_ids_N.tolist()):
        yield {
            "kind": kind,
            "row": row,
            "study_id": images.study_ids[row],
            "patient_id": images.patient_ids[row],
            "sequence": images.sequences[row],
            "split": images.splits[row],
            "text_id": None if text_id == NO_TEXT else text_id,
        }


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
