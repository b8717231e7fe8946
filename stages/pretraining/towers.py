"""The pair of towers that every objective trains, and how they are drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stages.params import Params
from stages.pretraining.encoders import ImageEncoderParams, Projection, build_image_encoder
from stages.pretraining.standardisation import STEP, Standardiser
from stages.pretraining.text_tower import TextTower, TextTowerParams, build_text_tower

_IMAGE_STREAM, _TEXT_STREAM, OBJECTIVE_STREAM = 11, 12, 13


class TowerConfig(Params):
    """All that it takes to build the towers again; written beside exported weights.

    Attributes:
        unit: ``study`` or ``sequence``, what one image is.
        sequences: sequences that the image encoder reads, in its order.
        shape: spatial shape of an image in voxels (R, A, S in 3D).
        embedding_dim: width of the shared space.
        frozen_width: width of the precomputed sentence embeddings.
        classes: finding codes of the label head's scores, empty without one.
        aligns_text: whether the text tower was trained to share the space of the images.
    """

    unit: str
    sequences: list[str]
    shape: list[int]
    embedding_dim: int
    frozen_width: int
    projection: Projection
    image: ImageEncoderParams
    text: TextTowerParams
    classes: list[str] = []
    aligns_text: bool = True


@dataclass(frozen=True)
class Towers:
    """An image encoder and a text tower into one space, and a head for labels where there is one.

    Attributes:
        standardiser: what the image encoder's inputs are standardised by, once training images are known.
    """

    config: TowerConfig
    image: nn.Module
    text: TextTower
    label_head: nn.Linear | None = None
    standardiser: Standardiser | None = None

    def standardise(self, volumes_BSX: np.ndarray, is_present_BS: np.ndarray) -> Tensor:
        """Make inputs of the image encoder.

        Args:
            volumes_BSX: uint8 as ``prepare_volumes`` writes them, sequences in the order of ``config``.
            is_present_BS: which sequences each image has.

        Returns:
            Deviations from what training images show at the same place. Shape (B, S, X).

        Raises:
            ValueError: if the towers were not loaded from an export.
        """
        if self.standardiser is None:
            raise ValueError("towers: no standardiser; load exported encoders with load_encoders")
        steps = [self.standardiser.apply(*image) for image in zip(volumes_BSX, is_present_BS, strict=True)]
        return torch.from_numpy(np.stack(steps)).float() * STEP


class WithPatches(nn.Module):
    """An image encoder whose one output holds the patches too, for gradient caching.

    The encoder's parameters stay its own: this is a view of it.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Return the image embedding, and behind it those of all patches. Shape (B, 1 + P, D)."""
        image_BD, patch_BPD = self.encoder.embed(volumes_BSX, is_present_BS)  # type: ignore[operator]
        return torch.cat([image_BD[:, None], patch_BPD], dim=1)


def build_towers(config: TowerConfig, seed: int) -> Towers:
    """Draw the towers of a seed; every objective starts from the same ones."""
    with seeded(seed, _IMAGE_STREAM):
        image = build_image_encoder(
            config.image,
            num_sequences=len(config.sequences),
            shape=tuple(config.shape),
            embedding_dim=config.embedding_dim,
            projection=config.projection,
        )
    with seeded(seed, _TEXT_STREAM):
        text = build_text_tower(
            config.text,
            frozen_width=config.frozen_width,
            embedding_dim=config.embedding_dim,
            projection=config.projection,
        )
    return Towers(config, image, text)


@contextmanager
def seeded(seed: int, stream: int) -> Iterator[None]:
    """Draw from torch's generator under a stream of its own, and leave the generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]))
        yield
