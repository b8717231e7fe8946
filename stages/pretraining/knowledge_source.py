"""Regions of the atlas, what reports say of them, and what the lexicon knows of findings, for training.

Shape suffixes: N images, B images of a batch, F findings, R regions, P patches, E width of the sentence encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stages.artifacts import report_tables, tables
from stages.imaging.region_store import RegionStore, mirror
from stages.pretraining.pairs import ImageTable
from stages.pretraining.phrases import Phrases
from stages.pretraining.region_labels import PRESENT, UNKNOWN, mirrored_order, region_labels
from stages.reports.statements import NORMAL


@dataclass(frozen=True)
class KnowledgeSource:
    """Grounded knowledge of every image.

    Attributes:
        store: where regions lie.
        study_ids: study of each image.
        labels_NFR: what the report says of each finding in each region.
        findings: finding codes, in the order of F.
        definition_FE: embedding of each finding's definition.
        name_FE: embedding of its name.
    """

    store: RegionStore
    study_ids: list[str]
    labels_NFR: np.ndarray
    findings: tuple[str, ...]
    definition_FE: np.ndarray
    name_FE: np.ndarray

    @classmethod
    def load(cls, atlas: Path, texts: Path, findings: Path, images: ImageTable, num_patches: int) -> KnowledgeSource:
        """Read the atlas of a cohort, its statements and the definitions of the lexicon.

        Args:
            atlas: folder of ``register_atlas``.
            texts: folder of ``encode_texts``.
            findings: ``findings.parquet``.
            images: a row an image.
            num_patches: patches of an image.
        """
        store, phrases = RegionStore.load(atlas, num_patches), Phrases.load(texts)
        codes = [row["finding"] for row in phrases.rows if row["kind"] == "definition" and row["finding"] != NORMAL]
        statements = tables.read(findings, report_tables.FINDINGS).to_pylist()
        labels_NFR = region_labels(statements, images.study_ids, codes, store.regions)
        return cls(store, images.study_ids, labels_NFR, tuple(codes), phrases.definitions(codes), phrases.names(codes))

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions, in the order of R."""
        return tuple(region.name for region in self.store.regions)

    def take(self, rows_B: np.ndarray, is_flipped_B: np.ndarray) -> dict[str, Tensor]:
        """Collect the fields of ``batch.Regions`` for some images; a flipped one has its sides exchanged."""
        weight_BRP = self.store.weights([self.study_ids[row] for row in rows_B])
        flipped = np.flatnonzero(is_flipped_B)
        weight_BRP[flipped] = mirror(weight_BRP[flipped], self.store.regions, self.store.grid)
        labels_BFR = self.labels_NFR[rows_B]
        labels_BFR[flipped] = labels_BFR[flipped][:, :, mirrored_order(self.store.regions)]
        return {
            "weight_BRP": torch.from_numpy(weight_BRP),
            "presence_BFR": torch.from_numpy((labels_BFR == PRESENT).astype(np.float32)),
            "is_known_BFR": torch.from_numpy(labels_BFR != UNKNOWN),
        }
