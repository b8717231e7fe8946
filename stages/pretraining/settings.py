"""Parameters of pretraining: what all objectives share, and one row of the results tables."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stages.params import Params
from stages.pretraining.augmentation import AugmentationParams
from stages.pretraining.encoders import ImageEncoderParams, Projection
from stages.pretraining.optimisation import OptimiserParams
from stages.pretraining.pairs import Batching
from stages.pretraining.text_tower import TextTowerParams


class PretrainParams(Params):
    """Section ``pretrain``: one encoder, one data order and one budget for every objective.

    Attributes:
        seeds: one training each.
        sequences: sequences that the encoder reads, in its order.
        embedding_dim: width of the shared space.
        updates: optimiser steps of a training.
        batch_size: pairs of a step, over all processes.
        micro_batch_size: pairs embedded at a time; null embeds the whole batch at once.
        batching: ``mixed``, or ``distinct`` for no text twice in a batch.
        image: image encoder.
        text: text tower.
        optimiser: AdamW and its schedule.
        augmentation: how images vary.
        accelerator: ``auto`` takes a GPU where there is one.
        devices: devices on a node.
        num_nodes: nodes.
        precision: ``auto`` is bf16-mixed on a GPU and 32-true on a CPU.
        num_threads: CPU threads; fixed, since sums depend on their order.
        max_resident_gib: images are held in memory up to this size.
        checkpoint_interval: updates between checkpoints.
        log_interval: updates between points of the curves.
        validation_interval: updates between validation losses; null is at the end only.
    """

    seeds: list[int] = Field(min_length=1)
    sequences: list[str] = Field(min_length=1)
    embedding_dim: int = Field(default=128, ge=1)
    updates: int = Field(default=600, ge=1)
    batch_size: int = Field(default=32, ge=2)
    micro_batch_size: int | None = Field(default=None, ge=1)
    batching: Batching = "mixed"
    image: ImageEncoderParams = ImageEncoderParams()
    text: TextTowerParams = TextTowerParams()
    optimiser: OptimiserParams = OptimiserParams()
    augmentation: AugmentationParams = AugmentationParams()
    accelerator: str = "auto"
    devices: int = Field(default=1, ge=1)
    num_nodes: int = Field(default=1, ge=1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    num_threads: int = Field(default=2, ge=1)
    max_resident_gib: float = Field(default=4.0, ge=0)
    checkpoint_interval: int = Field(default=200, ge=1)
    log_interval: int = Field(default=20, ge=1)
    validation_interval: int | None = Field(default=None, ge=1)


class ObjectiveEntry(Params):
    """One entry of ``objectives``: a row of the results tables.

    Attributes:
        method: names the file in ``stages/pretraining/objectives/``.
        similarity: similarity file; a folder means none.
        labels: labels table; a folder means none.
        regions: folder of ``register_atlas``; one without an atlas means none.
        params: parameters of the method.
        text_view: what stands for a text at each step: the whole ``text``, a random ``subset`` of its
            sentences, or one random ``sentence``.
        batching: in place of ``pretrain.batching``, for ablations.
        updates: in place of ``pretrain.updates``, for ablations.
        projection: head of both towers, ``linear`` or ``mlp``.
        hidden_share: of the head's patches that objectives with hidden patches hide of every image.
        shuffle_seed: permute the similarity among training texts under this seed (a control).
        is_trained: false leaves the encoders as they were drawn (the random reference).
    """

    method: str
    similarity: str
    labels: str
    regions: str
    params: dict[str, Any] = {}
    text_view: Literal["text", "subset", "sentence"] = "subset"
    batching: Batching | None = None
    updates: int | None = Field(default=None, ge=1)
    projection: Projection = "linear"
    hidden_share: float = Field(default=0.5, ge=0, lt=1)
    shuffle_seed: int | None = None
    is_trained: bool = True

    def override(self, shared: PretrainParams) -> PretrainParams:
        """Return what all objectives share, with what this entry has in its place."""
        own = {"batching": self.batching or shared.batching, "updates": self.updates or shared.updates}
        return shared.model_copy(update=own)
