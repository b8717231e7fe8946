"""The images and reports that generation needs, and what each writer makes of them.

Shape suffixes: N images, D embedding, E width of the sentence encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.evaluation.generation import (
    FindingsReader,
    GenerationParams,
    Judge,
    Written,
    read_statements,
)
from stages.evaluation.grounding_maps import read_images, show_images
from stages.evaluation.quantities import DECODER, NEAREST, OWN
from stages.evaluation.report_writing import OwnWriter, ReportMap, SharedWriter, Writer
from stages.evaluation.trained_decoder import TrainedDecoder
from stages.imaging.region_store import RegionStore
from stages.imaging.shards import VolumeStore
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.own_heads import is_exported, load_heads
from stages.pretraining.pairs import ImageTable, load_images
from stages.pretraining.standardisation import Standardiser
from stages.pretraining.texts import read_texts
from stages.reports.extraction import ExtractionParams

TRAIN = "train"


@dataclass(frozen=True)
class GenerationInputs:
    """Images of training and of the evaluated splits that have a report, and the reports.

    Attributes:
        images: a row an image.
        bank: their voxels.
        references: English wording of every text, by ``text_id``.
    """

    images: ImageTable
    bank: ImageBank
    references: list[str]

    @classmethod
    def load(cls, model: Path, volumes: Path, texts: Path, splits: Path, params: GenerationParams) -> GenerationInputs:
        """Read them as the encoders of a model see them."""
        config, store = load_config(model), VolumeStore(volumes)
        images = load_images(store.table, texts, splits, config.sequences, config.unit)
        images = images.only({TRAIN, *params.splits})
        bank = ImageBank(
            store,
            images.series,
            len(config.sequences),
            standardise_by=Standardiser.load(model),
            max_resident_gib=params.max_resident_gib,
        )
        return cls(images, bank, read_texts(texts)["english_text"].to_pylist())

    @property
    def training_rows(self) -> np.ndarray:
        """Images of training that have a report."""
        return self.images.rows_of(TRAIN, is_paired=True)

    def training_texts(self) -> list[str]:
        """Report of each image of training."""
        return [self.references[text_id] for text_id in self.images.text_ids_N[self.training_rows].tolist()]

    def evaluated_rows(self, splits: list[str]) -> np.ndarray:
        """Images of the evaluated splits that have a report."""
        return np.concatenate([self.images.rows_of(split, is_paired=True) for split in splits])

    def judge(self, texts: Path, findings: Path, extraction: ExtractionParams) -> Judge:
        """Set up what scores reports.

        Args:
            texts: folder with the statements of each text.
            findings: ``findings.parquet``.
            extraction: lexicon and model that read the reports of the cohort.
        """
        return Judge(
            FindingsReader(extraction.lexicon, extraction.spacy_model),
            self.training_texts(),
            self.references,
            read_statements(texts, findings),
        )

    def written(self, rows: np.ndarray, texts: list[str], *, kind: str, seed: int) -> Iterator[Written]:
        """Say what each text was written about."""
        images = self.images
        for row, text in zip(rows.tolist(), texts, strict=True):
            yield Written(
                kind,
                seed,
                images.splits[row],
                images.study_ids[row],
                images.patient_ids[row],
                images.sequences[row],
                int(images.text_ids_N[row]),
                text,
            )


def write_reports(
    model: Path,
    inputs: GenerationInputs,
    shared: TrainedDecoder,
    params: GenerationParams,
    atlas: Path,
) -> list[Written]:
    """Let every writer write about the evaluated images, for every seed of a method.

    Args:
        model: folder of exported encoders.
        inputs: images and reports.
        shared: the decoder that all methods share.
        params: of the evaluation.
        atlas: regions of every study, for a method that brings a writer of its own.

    Returns:
        What was written; nothing where training or evaluation has no report.
    """
    rows, training = inputs.evaluated_rows(params.splits), inputs.training_rows
    if not len(rows) or not len(training):
        return []
    known = inputs.training_texts()
    written: list[Written] = []
    for seed in exported_seeds(model):
        encoder = load_encoders(model, seed).image
        image_ND = embed(encoder, inputs.bank, training, params.batch_size)
        report_NE = shared.vectors(inputs.images.text_ids_N[training])
        to_report = ReportMap.fit(image_ND, report_NE, params.penalty, params.temperature)
        writers: dict[str, Writer] = {DECODER: SharedWriter(encoder, to_report, shared.decoder, shared.vocabulary)}
        if is_exported(model):
            heads = load_heads(model, seed)
            writers[OWN] = OwnWriter(encoder, heads, RegionStore.load(atlas), inputs.images.study_ids)
        for kind, writer in writers.items():
            texts = write_texts(writer, inputs.bank, rows, params.batch_size)
            written += inputs.written(rows, texts, kind=kind, seed=seed)
        nearest = find_nearest(embed(encoder, inputs.bank, rows, params.batch_size), image_ND)
        written += inputs.written(rows, [known[place] for place in nearest], kind=NEAREST, seed=seed)
    return written


def write_texts(writer: Writer, bank: ImageBank, rows: np.ndarray, batch_size: int) -> list[str]:
    """Write a report about each of some images."""
    texts: list[str] = []
    for first in range(0, len(rows), batch_size):
        token_BL = writer(show_images(bank, rows[first : first + batch_size].tolist()))
        texts += writer.vocabulary.decode(token_BL.cpu().numpy())
    return texts


@torch.inference_mode()
def embed(encoder: nn.Module, bank: ImageBank, rows: np.ndarray, batch_size: int) -> Tensor:
    """Image embeddings in the space shared with texts, not normalised. Shape (N, D)."""
    starts = range(0, len(rows), batch_size)
    return torch.cat([encoder(*read_images(bank, rows[first : first + batch_size].tolist())) for first in starts])


def find_nearest(image_BD: Tensor, image_ND: Tensor) -> list[int]:
    """Row of the most similar image among N, by cosine; the first of several."""
    return (functional.normalize(image_BD, dim=-1) @ functional.normalize(image_ND, dim=-1).T).argmax(dim=1).tolist()
