"""Embeddings of one objective with their index, as the evaluations read them.

Shapes: N images, T texts, M prompts, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import cohort_tables, tables, tensors

FloatArray = np.ndarray

# Tensors of an embeddings file that are evaluated here, by what their rows are.
TRANSFER, VIEW = "transfer", "view"
KINDS = {
    "image": "image",
    "feature": "image",
    "logit": "image",
    "text": "text",
    "prompt": "prompt",
    TRANSFER: TRANSFER,
    VIEW: VIEW,
}
TextRows = Mapping[int, int]


@dataclass(frozen=True)
class Images:
    """The image rows of an embedding index, in its order."""

    study_ids: list[str]
    patient_ids: list[str]
    splits: list[str | None]
    text_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.study_ids)

    def rows_of(self, split: str, *, with_text: bool = False) -> np.ndarray:
        """Rows of the images of a split, only those that a text describes if ``with_text``."""
        return np.array(
            [
                row
                for row, (own, text_id) in enumerate(zip(self.splits, self.text_ids, strict=True))
                if own == split and (text_id is not None or not with_text)
            ],
            dtype=int,
        )


@dataclass(frozen=True)
class Embeddings:
    """What one objective makes of every image, text and prompt, once per pretraining seed."""

    images: Images
    #: row in the text array of each text_id
    text_rows: TextRows
    #: row in the prompt array of each prompt_id
    prompt_rows: TextRows
    seeds: list[int]
    #: arrays by tensor name, `<seed>/image` (N, D), `<seed>/text` (T, D), …
    arrays: Mapping[str, FloatArray]
    #: finding codes of the columns of `<seed>/logit`, for a supervised objective
    classes: list[str]
    #: views of one sequence that no pretraining saw, the rows of `<seed>/transfer`; empty where there are none
    transfer: Images = field(default_factory=lambda: Images([], [], [], []))
    #: images without one of their sequences, the rows of `<seed>/view`
    views: Images = field(default_factory=lambda: Images([], [], [], []))
    #: sequence that each view is without
    withheld: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, index_path: Path) -> Embeddings:
        """Read a tensor file and the index of its rows.

        Raises:
            ValueError: if an array has another number of rows than the index, or names no seed.
        """
        index = tables.read(index_path, cohort_tables.EMBEDDING_INDEX)
        wanted = [name for name in tensors.names(path) if name.split("/")[-1] in KINDS]
        arrays = tensors.read(path, wanted)
        images, text_rows, prompt_rows = _read_index(index)
        transfer, views = _read_images(index, TRANSFER), _read_images(index, VIEW)
        sizes = {"image": len(images), "text": len(text_rows), "prompt": len(prompt_rows)}
        sizes |= {TRANSFER: len(transfer), VIEW: len(views)}
        for name, values in arrays.items():
            num_rows = sizes[KINDS[name.split("/")[-1]]]
            if len(values) != num_rows:
                raise ValueError(
                    f"{path}: {name} has {len(values)} rows, {index_path} lists {num_rows}; "
                    "they come from different runs, so run `dvc repro`"
                )
        seeds = sorted(int(name.split("/")[0]) for name in arrays if name.endswith("/image"))
        if not seeds:
            raise ValueError(f"{path}: no tensor named `<seed>/image`; it holds {list(arrays)[:10]}")
        classes = tensors.read_metadata(path).get("classes", [])
        withheld = _rows_of_kind(index, VIEW)["sequence"]
        return cls(images, text_rows, prompt_rows, seeds, arrays, classes, transfer, views, withheld)

    @classmethod
    def uninformed(cls, index_path: Path) -> Embeddings:
        """Give every row of an index the same embedding, so that every ranking is a tie: chance."""
        index = tables.read(index_path, cohort_tables.EMBEDDING_INDEX)
        images, text_rows, prompt_rows = _read_index(index)
        sizes = {"image": len(images), "text": len(text_rows), "prompt": len(prompt_rows)}
        arrays = {f"0/{kind}": np.zeros((size, 1), np.float32) for kind, size in sizes.items()}
        return cls(images, text_rows, prompt_rows, [0], arrays, [], _read_images(index, TRANSFER))

    def has(self, kind: str) -> bool:
        """Whether the objective embeds this kind for its first seed."""
        return f"{self.seeds[0]}/{kind}" in self.arrays

    def vectors(self, seed: int, kind: str) -> FloatArray:
        """L2-normalised float32 rows of one kind, shape (rows, D).

        Raises:
            ValueError: if the objective has none.
        """
        if f"{seed}/{kind}" not in self.arrays:
            raise ValueError(
                f"no {kind!r} embeddings of seed {seed}, only {sorted(self.arrays)}; run embed_studies again"
            )
        return normalise(self.arrays[f"{seed}/{kind}"].astype(np.float32))

    def logits(self, seed: int) -> FloatArray:
        """Class scores of a supervised objective, shape (N, classes)."""
        return self.arrays[f"{seed}/logit"].astype(np.float32)


def normalise(vectors_ND: FloatArray) -> FloatArray:
    """Scale rows to unit length; a row of zeros stays zero."""
    norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return vectors_ND / np.where(norms_N1 > 0, norms_N1, 1.0)


def _rows_of_kind(index: pa.Table, kind: str) -> dict[str, list]:
    return index.filter(pc.equal(index["kind"], kind)).sort_by("row").to_pydict()


def _read_images(index: pa.Table, kind: str) -> Images:
    image = _rows_of_kind(index, kind)
    return Images(image["study_id"], image["patient_id"], image["split"], image["text_id"])


def _read_index(index: pa.Table) -> tuple[Images, TextRows, TextRows]:
    images = _read_images(index, "image")
    text, prompt = _rows_of_kind(index, "text"), _rows_of_kind(index, "prompt")
    text_rows = {text_id: row for row, text_id in enumerate(text["text_id"])}
    prompt_rows = {prompt_id: row for row, prompt_id in enumerate(prompt["prompt_id"])}
    return images, text_rows, prompt_rows
