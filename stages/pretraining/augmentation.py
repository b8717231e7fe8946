"""Side-safe augmentation, drawn and applied for a whole batch at a time.

A left-right flip mirrors the image and takes the text with left and right exchanged, so that the
pair stays true. Shape suffixes: B images, S sequences, A spatial axes; X stands for the spatial
axes, of which the first runs from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from stages.params import Params
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.standardisation import STEP

_STREAM = 2
_NOISE_SEED = 20240307
_NOISE_SAMPLES = 1 << 22


class AugmentationParams(Params):
    """How much images vary; intensities are standardised ones.

    Attributes:
        flip_probability: of a left-right flip of image and text.
        max_shift_voxels: largest shift along each axis, the same for all sequences.
        max_gain: intensities are multiplied by 1 ± this, for each sequence.
        max_bias: and moved by ± this.
        max_noise: largest standard deviation of the noise.
        sequence_dropout: probability that a sequence is left out (one always stays).
    """

    flip_probability: float = Field(default=0.5, ge=0, le=1)
    max_shift_voxels: int = Field(default=1, ge=0)
    max_gain: float = Field(default=0.1, ge=0, lt=1)
    max_bias: float = Field(default=0.1, ge=0)
    max_noise: float = Field(default=0.1, ge=0)
    sequence_dropout: float = Field(default=0.15, ge=0, lt=1)


@dataclass(frozen=True)
class Draws:
    """What befalls each image of one step: a function of seed and step alone."""

    is_flipped_B: np.ndarray
    shift_BA: np.ndarray
    gain_BS: np.ndarray
    bias_BS: np.ndarray
    noise_B: np.ndarray
    noise_start_B: np.ndarray
    is_kept_BS: np.ndarray
    sentence_B: np.ndarray
    hidden_B: np.ndarray

    @classmethod
    def of_step(
        cls, params: AugmentationParams, is_present_BS: np.ndarray, num_axes: int, *, seed: int, step: int
    ) -> Draws:
        """Draw the augmentation of one training step."""
        random = np.random.default_rng([seed, step, _STREAM])
        batch, sequences = is_present_BS.shape
        shift = params.max_shift_voxels
        is_kept_BS = is_present_BS & (random.random((batch, sequences)) >= params.sequence_dropout)
        is_kept_BS = np.where(is_kept_BS.any(axis=1, keepdims=True), is_kept_BS, is_present_BS)
        return cls(
            is_flipped_B=random.random(batch) < params.flip_probability,
            shift_BA=random.integers(-shift, shift + 1, (batch, num_axes)),
            gain_BS=random.uniform(1 - params.max_gain, 1 + params.max_gain, (batch, sequences)),
            bias_BS=random.uniform(-params.max_bias, params.max_bias, (batch, sequences)),
            noise_B=random.uniform(0, params.max_noise, batch),
            noise_start_B=random.random(batch),
            is_kept_BS=is_kept_BS,
            sentence_B=random.random(batch),
            hidden_B=random.random(batch),
        )

    @classmethod
    def none(cls, is_present_BS: np.ndarray, num_axes: int) -> Draws:
        """Leave every image as it is; what is drawn of texts and patches differs from image to image only."""
        batch, sequences = is_present_BS.shape
        spread_B = (np.arange(batch) + 0.5) / max(batch, 1)
        return cls(
            is_flipped_B=np.zeros(batch, dtype=bool),
            shift_BA=np.zeros((batch, num_axes), dtype=np.int64),
            gain_BS=np.ones((batch, sequences)),
            bias_BS=np.zeros((batch, sequences)),
            noise_B=np.zeros(batch),
            noise_start_B=np.zeros(batch),
            is_kept_BS=is_present_BS,
            sentence_B=spread_B,
            hidden_B=spread_B,
        )


class BatchWriter:
    """Writes augmented images into one buffer that is used again at every step.

    Each voxel is written once, flipped and shifted on the way; the rest happens in place. Noise
    is read from a fixed table at a drawn position: drawing it anew costs more than all the rest.
    """

    def __init__(self, bank: ImageBank, batch_size: int) -> None:
        self._bank = bank
        self._buffer_BSX = np.zeros((batch_size, bank.is_present_NS.shape[1], *bank.shape), dtype=np.float32)
        num_values = max(_NOISE_SAMPLES, 2 * self._buffer_BSX[0].size)
        self._noise = np.random.default_rng(_NOISE_SEED).standard_normal(num_values, dtype=np.float32)

    def write(self, rows_B: np.ndarray, draws: Draws) -> np.ndarray:
        """Fill the buffer with the images of a batch, in deviations from the usual.

        Returns:
            A view of the buffer, valid until the next call. Shape (B, S, X).
        """
        images_BSX = self._buffer_BSX[: len(rows_B)]
        gain_BS = (draws.gain_BS * STEP).astype(np.float32)
        trailing = (1,) * len(self._bank.shape)
        for b, row in enumerate(rows_B):
            image_SX = self._bank.image(row)
            _place(images_BSX[b], image_SX[:, ::-1] if draws.is_flipped_B[b] else image_SX, draws.shift_BA[b])
            images_BSX[b] *= gain_BS[b].reshape(-1, *trailing)
            images_BSX[b] += draws.bias_BS[b].astype(np.float32).reshape(-1, *trailing)
            if draws.noise_B[b]:
                images_BSX[b] += self._noise_like(images_BSX[b], draws.noise_start_B[b]) * np.float32(draws.noise_B[b])
        return images_BSX

    def _noise_like(self, image_SX: np.ndarray, start: float) -> np.ndarray:
        first = int(start * (self._noise.size - image_SX.size))
        return self._noise[first : first + image_SX.size].reshape(image_SX.shape)


def _place(target_SX: np.ndarray, image_SX: np.ndarray, shift_A: np.ndarray) -> None:
    """Copy an image shifted by whole voxels; what moves in from outside is zero."""
    to = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift_A, image_SX.shape[1:], strict=True))
    origin = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift_A, image_SX.shape[1:], strict=True))
    if shift_A.any():
        target_SX.fill(0)
    target_SX[(slice(None), *to)] = image_SX[(slice(None), *origin)]
