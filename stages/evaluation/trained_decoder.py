"""The decoder that all methods share: the reports it learns from, and its file.

Shape suffixes: T texts, N reports, E width of the sentence encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.artifacts import cohort_tables, report_tables, tables, tensors
from stages.evaluation.report_writing import DecoderParams, Reports, build_decoder, train_decoder
from stages.pretraining.report_decoder import ReportDecoder
from stages.pretraining.texts import PAIRS_TABLE, read_texts
from stages.pretraining.vocabulary import Vocabulary

_TRAIN = "train"
_INDEX = ("sentence", "sentence_offsets", "sentence_lines", "statement_offsets", "statement_rows", "statement_lines")
_WEIGHTS, _VECTORS, _TEXT_IDS = "weights.", "vectors", "text_ids"


@dataclass(frozen=True)
class TrainedDecoder:
    """A trained decoder with what it takes for the embedding of a report.

    Attributes:
        decoder: in evaluation mode.
        vocabulary: its words.
        vector_NE: embedding of each training text.
        place: row of each training text in it, by ``text_id``.
    """

    decoder: ReportDecoder
    vocabulary: Vocabulary
    vector_NE: Tensor
    place: dict[int, int]

    def vectors(self, text_ids: np.ndarray) -> Tensor:
        """Embeddings of training reports. Shape (N, E)."""
        return self.vector_NE[[self.place[text_id] for text_id in text_ids.tolist()]]

    def save(self, path: Path, params: DecoderParams) -> None:
        """Write weights, words and embeddings. The file holds words of reports: nothing to publish of a real cohort."""
        weights = {_WEIGHTS + name: values.numpy() for name, values in self.decoder.state_dict().items()}
        arrays = {_VECTORS: self.vector_NE.numpy(), _TEXT_IDS: np.array(list(self.place), dtype=np.int64)}
        tensors.write(path, weights | arrays, {"params": params.model_dump(), "vocabulary": self.vocabulary.to_json()})

    @classmethod
    def load(cls, path: Path) -> TrainedDecoder:
        """Read what ``save`` wrote."""
        about: dict[str, Any] = tensors.read_metadata(path)
        arrays = {name: torch.from_numpy(values) for name, values in tensors.read(path).items()}
        vocabulary, vector_NE = Vocabulary.from_json(about["vocabulary"]), arrays.pop(_VECTORS)
        place = {int(text_id): row for row, text_id in enumerate(arrays.pop(_TEXT_IDS))}
        decoder = build_decoder(DecoderParams(**about["params"]), len(vocabulary), vector_NE.shape[1])
        decoder.load_state_dict({name.removeprefix(_WEIGHTS): values for name, values in arrays.items()})
        return cls(decoder.eval().requires_grad_(False), vocabulary, vector_NE, place)


def train_on_reports(
    texts: Path, splits: Path, findings: Path, params: DecoderParams
) -> tuple[TrainedDecoder, list[float]]:
    """Train the decoder on the reports of the training split, and on their side-flipped twins.

    Args:
        texts: folder with texts, pairs and sentence embeddings.
        splits: ``splits.parquet``.
        findings: ``findings.parquet``.
        params: of the decoder.

    Returns:
        The decoder, and the loss of every update.

    Raises:
        ValueError: if no training study has a report.
    """
    split_of = {row["study_id"]: row["split"] for row in tables.read(splits, cohort_tables.SPLIT_TABLE).to_pylist()}
    pairs = tables.read(texts / PAIRS_TABLE, report_tables.PAIRS).to_pylist()
    written = np.array([pair["text_id"] for pair in pairs if split_of.get(pair["study_id"]) == _TRAIN], dtype=np.int64)
    if not len(written):
        raise ValueError(f"{splits}: no training study has a report, expected at least one; see pairs.parquet")
    table = read_texts(texts)
    text_ids = np.concatenate([written, table["flipped_text_id"].to_numpy()[written]])
    vector_TE = standardise(embed_contents(texts, findings), text_ids)
    wording = table["english_text"].to_pylist()
    reports = Reports([wording[text_id] for text_id in text_ids.tolist()], vector_TE[text_ids])
    vocabulary = Vocabulary.build(reports.texts, params.min_count)
    decoder, losses = train_decoder(reports, vocabulary, params)
    known = list(dict.fromkeys(text_ids.tolist()))
    place = {text_id: row for row, text_id in enumerate(known)}
    return TrainedDecoder(decoder, vocabulary, vector_TE[known], place), losses


def embed_contents(texts: Path, findings: Path) -> np.ndarray:
    """Embed every text by what it finds: the mean of the sentences that state something as present or possible.

    Denials are boilerplate that differs from reader to reader, and no image tells who the reader was. A text
    without such a sentence is the mean of all its sentences.

    Args:
        texts: folder with the sentence embeddings and their index (``embeddings.safetensors``).
        findings: ``findings.parquet``, whose rows the index names.

    Returns:
        Embeddings, float32. Shape (T, E).
    """
    index = tensors.read(texts / "embeddings.safetensors", list(_INDEX))
    assertions = tables.read(findings, report_tables.FINDINGS, ["assertion"])["assertion"].to_pylist()
    rows = []
    for text_id, (first, end) in enumerate(_spans(index["sentence_offsets"])):
        of_text = range(*index["statement_offsets"][text_id : text_id + 2].tolist())
        stated = [number for number in of_text if assertions[index["statement_rows"][number]] != "absent"]
        lines = {int(index["statement_lines"][number]) for number in stated}
        own = [row for row in range(first, end) if int(index["sentence_lines"][row]) in lines]
        rows.append(index["sentence"][own or range(first, end)].astype(np.float32).mean(axis=0))
    return np.stack(rows)


def standardise(embedding_TE: np.ndarray, training: np.ndarray) -> Tensor:
    """Centre embeddings on those of training, normalise them, and scale them to deviation 1.

    Args:
        embedding_TE: embeddings of texts.
        training: training texts, a text as often as it was written.

    Returns:
        Embeddings with mean 0 over training. Shape (T, E).
    """
    unit_TE = functional.normalize(torch.from_numpy(embedding_TE), dim=-1)
    unit_TE = functional.normalize(unit_TE - unit_TE[training].mean(dim=0), dim=-1)
    centred_TE = unit_TE - unit_TE[training].mean(dim=0)
    return centred_TE / centred_TE[training].std().clamp_min(1e-6)


def _spans(offsets: np.ndarray) -> list[tuple[int, int]]:
    ends = offsets.tolist()
    return list(zip(ends[:-1], ends[1:], strict=True))
