"""Hide patches of images from the encoder, for objectives that ask what stood there.

Shape suffixes: B images, S sequences, P patches in row-major order of their grid; X stands for the
spatial axes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

_HEAD_SHARE = 0.5


class PatchMask:
    """The patches of the head, and which of them are hidden: the same places in all sequences of an image.

    Attributes:
        patches_shape: number of patches P and of sequences S.
        is_head_P: patches of which at least half lies in the head.
    """

    def __init__(self, is_head_X: np.ndarray, patch_size: int, num_sequences: int, hidden_share: float) -> None:
        """Lay the patch grid.

        Args:
            is_head_X: voxels of the head.
            patch_size: edge of a patch in voxels; divides every axis.
            num_sequences: S.
            hidden_share: of the head's patches that ``hide`` hides.

        Raises:
            ValueError: if patches do not fill the images.
        """
        if any(axis % patch_size for axis in is_head_X.shape):
            raise ValueError(
                f"hidden patches: images of shape {is_head_X.shape}, expected axes divisible by {patch_size}; "
                "change prepare_volumes.shape or pretrain.image.patch_size"
            )
        self._size = patch_size
        self._grid = tuple(axis // patch_size for axis in is_head_X.shape)
        head_P = self.average(is_head_X[None, None].astype(np.float32))[0, :, 0]
        self.is_head_P = head_P >= _HEAD_SHARE
        self._head_rows = np.flatnonzero(self.is_head_P)
        self._num_hidden = round(hidden_share * len(self._head_rows))
        self.patches_shape = (math.prod(self._grid), num_sequences)

    def average(self, volumes_BSX: np.ndarray) -> np.ndarray:
        """Mean intensity of every patch in every sequence. Shape (B, P, S)."""
        pool = functional.avg_pool3d if len(self._grid) == 3 else functional.avg_pool2d
        means_BSP = pool(torch.from_numpy(volumes_BSX), self._size).flatten(2)
        return means_BSP.numpy().transpose(0, 2, 1)

    def hide(self, volumes_BSX: np.ndarray, is_present_BS: np.ndarray, uniform_B: np.ndarray) -> np.ndarray:
        """Set a random share of the head's patches to the usual intensity, 0, in place.

        Args:
            volumes_BSX: standardised intensities.
            is_present_BS: sequences that the encoder is shown.
            uniform_B: a number in [0, 1) that decides about each image.

        Returns:
            Which patch of which sequence is hidden and was there. Shape (B, P, S).
        """
        is_hidden_BP = np.zeros((len(volumes_BSX), self.patches_shape[0]), dtype=bool)
        for row, uniform in enumerate(uniform_B):
            random = np.random.default_rng(int(uniform * 2**53))
            is_hidden_BP[row, random.permutation(self._head_rows)[: self._num_hidden]] = True
        hidden_BX = is_hidden_BP.reshape(-1, *self._grid)
        for axis in range(len(self._grid)):
            hidden_BX = hidden_BX.repeat(self._size, axis=axis + 1)
        volumes_BSX *= ~hidden_BX[:, None]
        return is_hidden_BP[:, :, None] & is_present_BS[:, None, :]
