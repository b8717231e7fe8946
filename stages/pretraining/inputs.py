"""What a training reads: the paths of it, and the corpus loaded from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts.atlas_tables import REGION_TABLE
from stages.imaging.shards import TABLE, VolumeStore
from stages.pretraining.batch import Need
from stages.pretraining.corpus import Corpus
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.knowledge_source import KnowledgeSource
from stages.pretraining.labels import load_labels
from stages.pretraining.pairs import ImageTable, load_images
from stages.pretraining.phrases import PHRASES_TABLE, PHRASES_TENSORS
from stages.pretraining.sentence_sets import SentenceTable
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.pretraining.similarity_source import Shuffled, SimilaritySource
from stages.pretraining.text_tower import load_text_inputs
from stages.pretraining.texts import EMBEDDINGS, PAIRS_TABLE, TEXTS_TABLE, Precomputed, TextTable, read_texts
from stages.pretraining.towers import TowerConfig
from stages.pretraining.vocabulary import Vocabulary
from stages.reports.similarity import BatchSimilarity

# Words of fewer patients stay unknown: the vocabulary is exported with the objective.
_MIN_PATIENTS_OF_WORD = 5
# Longer reports are cut off.
_MAX_TOKENS = 64


@dataclass(frozen=True)
class Inputs:
    """Paths that a training reads.

    Attributes:
        volumes: folder with ``volumes.parquet`` and its shards.
        texts: folder with texts, pairs and sentence embeddings.
        splits: ``splits.parquet``.
        similarity: similarity file; a folder stands for none.
        labels: ``labels.parquet``; a folder stands for none.
        findings: ``findings.parquet``.
        regions: folder of ``register_atlas``; one without an atlas stands for none.
    """

    volumes: Path
    texts: Path
    splits: Path
    similarity: Path
    labels: Path

    findings: Path
    regions: Path

    @property
    def has_regions(self) -> bool:
        """Whether there is an atlas."""
        return (self.regions / REGION_TABLE).is_file()

    def files(self, needs: frozenset[Need]) -> list[Path]:
        """List every file whose content decides about the result of an objective."""
        shards = sorted(set(VolumeStore(self.volumes).table["shard"].to_pylist()))
        fixed = [self.volumes / TABLE, *(self.texts / name for name in (TEXTS_TABLE, PAIRS_TABLE, EMBEDDINGS))]
        optional = [path for path in (self.similarity, self.labels) if path.is_file()]
        if needs & {"sentence_sets", "regions"}:
            optional.append(self.findings)
        if self.has_regions:
            optional += [self.regions, self.texts / PHRASES_TABLE, self.texts / PHRASES_TENSORS]
        return [*fixed, self.splits, *optional, *(self.volumes / shard for shard in shards)]

    def load(self, shared: PretrainParams, entry: ObjectiveEntry, needs: frozenset[Need]) -> Corpus:
        """Load the corpus of one objective: training and validation images, and what describes them.

        Raises:
            ValueError: if no training image has a text.
        """
        store = VolumeStore(self.volumes)
        table = TextTable.load(self.texts)
        images = load_images(store.table, self.texts, self.splits, shared.sequences, table.unit)
        images = images.only({"train", "validation"})
        training = images.rows_of("train", is_paired=True)
        if not len(training):
            raise ValueError(
                f"{self.volumes / TABLE}: no training study with a text has any of {shared.sequences}; "
                "check split_cohort and pretrain.sequences"
            )
        bank = ImageBank(
            store,
            images.series,
            len(shared.sequences),
            standardise_by=training,
            max_resident_gib=shared.max_resident_gib,
        )
        num_patches = math.prod(size // shared.image.patch_size for size in bank.shape)
        return Corpus(
            images,
            bank,
            table,
            load_text_inputs(shared.text, self.texts),
            entry.text_view,
            self._similarity(table, images, entry.shuffle_seed) if self.similarity.is_file() else None,
            load_labels(self.labels, images, training) if self.labels.is_file() else None,
            SentenceTable.load(self.texts, self.findings) if "sentence_sets" in needs else None,
            self._knowledge(images, num_patches) if self.has_regions else None,
            **(self._words(images, training) if "tokens" in needs else {}),
        )

    def _knowledge(self, images: ImageTable, num_patches: int) -> KnowledgeSource:
        return KnowledgeSource.load(self.regions, self.texts, self.findings, images, num_patches)

    def _words(self, images: ImageTable, training: np.ndarray) -> dict[str, Any]:
        """Every text in words of the training texts."""
        texts = read_texts(self.texts)["english_text"].to_pylist()
        known = [texts[text_id] for text_id in images.text_ids_N[training]]
        patients = [images.patient_ids[row] for row in training]
        vocabulary = Vocabulary.build(known, _MIN_PATIENTS_OF_WORD, patients)
        return {"vocabulary": vocabulary, "token_TL": vocabulary.encode(texts, _MAX_TOKENS)}

    def _similarity(self, table: TextTable, images: ImageTable, shuffle_seed: int | None) -> SimilaritySource:
        source = BatchSimilarity.load(self.similarity, self.texts)
        if shuffle_seed is None:
            return source
        training = images.text_ids_N[images.rows_of("train", is_paired=True)]
        return Shuffled.among(source, table, training, shuffle_seed)


def describe_towers(shared: PretrainParams, entry: ObjectiveEntry, corpus: Corpus, *, aligns_text: bool) -> TowerConfig:
    """Say what the towers are, so that they can be built again from the export alone."""
    inputs = corpus.text_inputs
    return TowerConfig(
        unit=corpus.texts.unit,
        sequences=shared.sequences,
        shape=list(corpus.bank.shape),
        embedding_dim=shared.embedding_dim,
        frozen_width=inputs.width if isinstance(inputs, Precomputed) else 0,
        projection=entry.projection,
        image=shared.image,
        text=shared.text,
        classes=corpus.labels.classes if corpus.labels else [],
        aligns_text=aligns_text,
    )
