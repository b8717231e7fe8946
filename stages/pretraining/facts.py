"""Gather what an objective may know of its training data before the first step."""

from __future__ import annotations

from typing import Any

import torch

from stages.pretraining.batch import Facts
from stages.pretraining.corpus import Corpus
from stages.pretraining.masking import PatchMask
from stages.pretraining.towers import TowerConfig


def gather_facts(corpus: Corpus, towers: TowerConfig, patch_mask: PatchMask | None) -> Facts:
    """Say what a corpus offers to an objective.

    Args:
        corpus: what it is trained on.
        towers: what its towers are.
        patch_mask: patches of the images, None for an objective without patches.
    """
    knowledge: dict[str, Any] = {}
    if corpus.knowledge is not None:
        source = corpus.knowledge
        knowledge = {
            "regions": source.regions,
            "findings": source.findings,
            "definition_FE": torch.from_numpy(source.definition_FE),
            "name_FE": torch.from_numpy(source.name_FE),
        }
    if corpus.vocabulary is not None and corpus.token_TL is not None:
        knowledge |= {"vocabulary_size": len(corpus.vocabulary), "max_tokens": corpus.token_TL.shape[1]}
    return Facts(
        towers.embedding_dim,
        len(towers.classes),
        corpus.similarity_quantile if corpus.similarity is not None else None,
        (0, 0) if patch_mask is None else patch_mask.patches_shape,
        None if patch_mask is None else torch.from_numpy(patch_mask.is_head_P),
        **knowledge,
    )
