"""A tiny cohort in the form that pretraining reads: bright blobs, and texts that say where they are."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.artifacts import cohort_tables, imaging_tables, report_tables, tables, tensors, truth_tables
from stages.imaging.shards import write_shard

SEQUENCES = ["T1", "T2", "FLAIR"]
SHAPE = (8, 12, 8)
WIDTH = 16
NUM_STUDIES = 40
SIDES = ("left", "right")
NUM_SITES = 4
SITES = ("frontal_lobe", "parietal_lobe", "temporal_lobe", "occipital_lobe")
NORMAL = 2 * NUM_SITES

PARAMS = """
pretrain:
  seeds: [{seeds}]
  sequences: [T1, T2, FLAIR]
  embedding_dim: 16
  updates: {updates}
  batch_size: 8
  micro_batch_size: {micro_batch_size}
  image: {image}
  augmentation: {{sequence_dropout: 0.2}}
  num_threads: 1
  accelerator: cpu
  checkpoint_interval: {checkpoint_interval}
  log_interval: 5
objectives:
  clip: {{method: clip, similarity: none, labels: none, regions: none}}
  convirt: {{method: convirt, similarity: none, labels: none, regions: none, text_view: sentence, projection: mlp}}
  selip: {{method: selip, similarity: s, labels: none, regions: none}}
  selip_shuffled: {{method: selip, similarity: s, labels: none, regions: none, shuffle_seed: 3}}
  released: {{method: selip, similarity: s, labels: none, regions: none, params: {{form: released}}}}
  mlip: {{method: mlip, similarity: none, labels: none, regions: none}}
  gk_mvlp: {{method: gk_mvlp, similarity: s, labels: none, regions: a, params: {{width: 8, decoder_width: 8}}}}
  supervised: {{method: supervised, similarity: none, labels: l, regions: none}}
  clip_labels: {{method: clip_labels, similarity: none, labels: l, regions: none}}
  short: {{method: clip, similarity: none, labels: none, regions: none, updates: 5}}
  random: {{method: clip, similarity: none, labels: none, regions: none, is_trained: false}}
  wrong: {{method: clap, similarity: none, labels: none, regions: none}}
embed_studies: {{batch_size: 7, num_threads: 1, patch_splits: [test], view_splits: [test], transfers: {{T1C: T1}}}}
"""


SMALL = "{stem_width: 8, fine_width: 16, width: 32}"
SMALL_TRANSFORMER = (
    "{fine_width: 8, is_merged: true, width: 16, depth: 1, num_heads: 2, pooling: attention, num_queries: 2}"
)
# Objectives that are given a similarity.
SIMILAR = ("selip", "released", "gk_mvlp")


@dataclass(frozen=True)
class Cohort:
    """Paths of a cohort on disk."""

    root: Path

    @property
    def inputs(self) -> dict[str, Path]:
        """Options that pretrain and embed_studies share."""
        return {
            "volumes": self.root / "volumes",
            "texts": self.root / "texts",
            "splits": self.root / "splits.parquet",
        }

    @property
    def study_ids(self) -> list[str]:
        """Ids of all studies."""
        return [_study(number) for number in range(NUM_STUDIES)]

    def options(self, name: str, out: Path) -> dict[str, object]:
        """Options of pretrain for one objective."""
        none = self.root / "none"
        return {
            "name": name,
            **self.inputs,
            "similarity": self.root / "similarity.safetensors"
            if name.startswith(("selip", "released", "gk_mvlp"))
            else none,
            "labels": self.root / "labels.parquet" if name in ("supervised", "clip_labels") else none,
            "findings": self.root / "findings.parquet",
            "regions": self.root / "atlas" if name == "gk_mvlp" else none,
            "out": out / "model",
            "curves": out / "curves",
            "metrics": out / "metrics.json",
            "work": out / "work",
            "params": out / "params.yaml",
        }


def write_params(folder: Path, **values: object) -> None:
    """Write a parameter file of tiny trainings."""
    defaults = {"seeds": 0, "updates": 20, "micro_batch_size": "null", "image": SMALL, "checkpoint_interval": 4}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(PARAMS.format(**(defaults | values)), encoding="utf-8")


def write_cohort(root: Path, unit: str = "study") -> Cohort:
    """Write volumes, texts, splits, similarity and labels of a cohort."""
    rng = np.random.default_rng(5)
    (root / "none").mkdir(parents=True)
    kinds = rng.integers(0, NORMAL + 1, NUM_STUDIES)
    splits = np.array(["train"] * 26 + ["validation"] * 8 + ["test"] * 6)
    _write_volumes(root / "volumes", kinds, rng)
    _write_texts(root / "texts", kinds, unit)
    rows = [{"study_id": _study(i), "patient_id": f"{i:016x}", "split": str(split)} for i, split in enumerate(splits)]
    tables.write(root / "splits.parquet", tables.from_rows(cohort_tables.SPLIT_TABLE, rows), cohort_tables.SPLIT_TABLE)
    labels = [
        {"study_id": _study(i), "finding": finding, "label": label, "source": "truth"}
        for i, kind in enumerate(kinds)
        for finding, label in (("infarct", int(kind != NORMAL)), ("cyst", 0), ("mass", None if i % 3 else kind % 2))
    ]
    tables.write(root / "labels.parquet", tables.from_rows(truth_tables.LABELS, labels), truth_tables.LABELS)
    _write_similarity(root / "similarity.safetensors")
    return Cohort(root)


def _study(number: int) -> str:
    # Ids in an order of their own: nothing may depend on it.
    return f"{(number * 7919) % 10007:016x}"


def _write_volumes(folder: Path, kinds: np.ndarray, rng: np.random.Generator) -> None:
    rows = []
    shards: dict[str, dict[str, np.ndarray]] = {}
    for i, kind in enumerate(kinds):
        for s, sequence in enumerate([*SEQUENCES, "T1C"]):
            if s and (i + s) % 5 == 0:
                continue
            voxels = rng.integers(20, 90, SHAPE).astype(np.uint8)
            if kind != NORMAL:
                side, site = kind % 2, kind // 2
                voxels[4 * side : 4 * side + 4, 3 * site : 3 * site + 3, 2:6] += 150
            series = f"{i * 10 + s:016x}"
            shard = f"shards/{i % 3}.safetensors"
            shards.setdefault(shard, {})[series] = voxels
            rows.append(_volume_row(i, sequence, series, shard))
    for shard, volumes in shards.items():
        write_shard(folder, shard, volumes)
    table = tables.from_rows(imaging_tables.VOLUMES, sorted(rows, key=lambda row: row["study_id"]))
    tables.write(folder / "volumes.parquet", table, imaging_tables.VOLUMES)


def _volume_row(study: int, sequence: str, series: str, shard: str) -> dict[str, object]:
    return {
        "series_id": series,
        "study_id": _study(study),
        "patient_id": f"{study:016x}",
        "sequence": sequence,
        "is_selected": True,
        "shard": shard,
        "key": series,
        "affine": np.eye(4).ravel().tolist(),
        "intensity_low": 0.0,
        "intensity_high": 1.0,
        "is_constant": False,
        "foreground_fraction": 0.5,
        "coverage": 1.0,
        "clipped_fraction": 0.0,
        "tilt_deg": 0.0,
    }


def _write_texts(folder: Path, kinds: np.ndarray, unit: str) -> None:
    texts = [
        {
            "text_id": kind,
            "unit": unit,
            "language": "en",
            "row": kind,
            "text": (text := "no change\nall normal" if kind == NORMAL else f"{SIDES[kind % 2]} lesion {kind // 2}"),
            "english_text": text,
            "flipped_text_id": kind if kind == NORMAL else kind ^ 1,
            "is_flipped": False,
            "num_studies": 1,
        }
        for kind in range(NORMAL + 1)
    ]
    tables.write(folder / "texts.parquet", tables.from_rows(report_tables.TEXTS, texts), report_tables.TEXTS)
    views = [None] if unit == "study" else SEQUENCES
    pairs = [
        {"study_id": _study(i), "sequence": view, "text_id": int(kind)}
        for i, kind in enumerate(kinds)
        for view in views
        if i != 3
    ]
    tables.write(folder / "pairs.parquet", tables.from_rows(report_tables.PAIRS, pairs), report_tables.PAIRS)
    prompts = [
        {"prompt_id": i, "finding": "infarct", "polarity": polarity, "language": "en", "text": polarity}
        for i, polarity in enumerate(("positive", "negative"))
    ]
    tables.write(folder / "prompts.parquet", tables.from_rows(report_tables.PROMPTS, prompts), report_tables.PROMPTS)
    tensors.write(folder / "embeddings.safetensors", _embeddings() | _statement_index())
    tables.write(folder.parent / "findings.parquet", _findings(), report_tables.FINDINGS)
    _write_phrases(folder)


def _write_phrases(folder: Path) -> None:
    """Definition and name of each finding."""
    rows = [
        {
            "phrase_id": i,
            "kind": kind,
            "finding": finding,
            "is_held_out": False,
            "language": "en",
            "text": f"{kind} of {finding}",
        }
        for i, (kind, finding) in enumerate(product(("definition", "name"), ("infarct", "mass", "normal")))
    ]
    tables.write(folder / "phrases.parquet", tables.from_rows(report_tables.PHRASES, rows), report_tables.PHRASES)
    vectors = _unit(np.random.default_rng(8).standard_normal((len(rows), WIDTH)))
    tensors.write(folder / "phrases.safetensors", {"phrase": vectors.astype(np.float16)})


def _findings() -> pa.Table:
    """Every text states one lesion at its place, but the normal one, which says so in its second line."""
    rows = [
        {
            "row": kind,
            "study_id": _study(kind),
            "statement": 0,
            "section": "findings",
            "sentence": int(kind == NORMAL),
            "start": 0,
            "end": 6,
            "finding": "normal" if kind == NORMAL else "infarct",
            "site": None if kind == NORMAL else SITES[kind // 2],
            "side": None if kind == NORMAL else SIDES[kind % 2],
            "signals": [],
            "assertion": "present",
            "language": "en",
            "text": "lesion",
        }
        for kind in range(NORMAL + 1)
    ]
    return tables.from_rows(report_tables.FINDINGS, rows)


def _statement_index() -> dict[str, np.ndarray]:
    """Statement i stands in text i."""
    return {
        "sentence_lines": np.array([*[0] * (NORMAL + 1), 1], dtype=np.int32),
        "statement_offsets": np.arange(NORMAL + 2, dtype=np.int64),
        "statement_rows": np.arange(NORMAL + 1, dtype=np.int32),
        "statement_lines": np.array([*[0] * NORMAL, 1], dtype=np.int32),
    }


def _embeddings() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    sentences = _unit(rng.standard_normal((NORMAL + 2, WIDTH)))
    offsets = np.array([*range(NORMAL + 1), NORMAL + 2], dtype=np.int64)
    return {
        "text": _unit(np.add.reduceat(sentences, offsets[:-1])).astype(np.float16),
        "sentence": sentences.astype(np.float16),
        "sentence_offsets": offsets,
        "prompt": _unit(rng.standard_normal((2, WIDTH))).astype(np.float16),
    }


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _write_similarity(path: Path) -> None:
    count = NORMAL + 1
    values = np.random.default_rng(7).random((count, count))
    values = np.maximum(values, values.T)
    np.fill_diagonal(values, 1)
    arrays = {
        "indptr": np.arange(0, count * count + 1, count, dtype=np.int64),
        "indices": np.tile(np.arange(count, dtype=np.int32), count),
        "values": values.astype(np.float16).ravel(),
    }
    tensors.write(path, arrays, {"is_complete": True})
