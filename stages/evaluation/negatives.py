"""False negatives: how often an objective pushes an image from a text that nearly repeats the image's own.

The batches of a training are met again in their exact order; no image is read and no network run.

Shape suffixes: B images of the batch, U texts of the batch, N images, S sequences.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.artifacts import imaging_tables, tables
from stages.imaging.shards import TABLE
from stages.pretraining.augmentation import Draws
from stages.pretraining.batch import Batch, Facts
from stages.pretraining.methods import find_objective, read_params
from stages.pretraining.pairs import Batching, batches, load_images
from stages.pretraining.settings import ObjectiveEntry, PretrainParams
from stages.pretraining.similarity_source import Shuffled, SimilaritySource
from stages.pretraining.texts import TextTable
from stages.reports.similarity import BatchSimilarity

logger = logging.getLogger(__name__)

_NO_SHARE, _BELOW_CHANCE = "no_share", "below_chance"
# Sizes of what only training needs: an objective is built here to be asked who its negatives are.
_ANY_FACTS = Facts(
    embedding_dim=1,
    num_labels=1,
    patches_shape=(1, 1),
    is_head_P=torch.ones(1, dtype=torch.bool),
    regions=("any",),
    findings=("any",),
    definition_FE=torch.zeros(1, 1),
    name_FE=torch.zeros(1, 1),
    vocabulary_size=4,
    max_tokens=2,
)
# Flips are drawn before anything that depends on the number of axes.
_NUM_AXES = 3


@dataclass(frozen=True)
class DataOrder:
    """The texts that every step of a training meets; the same for every objective.

    Attributes:
        texts: flips of the texts.
        text_ids_N: text of each training image.
        is_present_NS: sequences of each training image.
        params: section ``pretrain``.
    """

    texts: TextTable
    text_ids_N: np.ndarray
    is_present_NS: np.ndarray
    params: PretrainParams

    @classmethod
    def load(cls, volumes: Path, texts: Path, splits: Path, params: PretrainParams) -> DataOrder:
        """Read what the order depends on.

        Args:
            volumes: folder with ``volumes.parquet``.
            texts: folder with texts, pairs and sentence offsets.
            splits: ``splits.parquet``.
            params: section ``pretrain``.
        """
        table = TextTable.load(texts)
        volume_table = tables.read(volumes / TABLE, imaging_tables.VOLUMES)
        images = load_images(volume_table, texts, splits, params.sequences, table.unit)
        rows = images.rows_of("train", is_paired=True)
        is_present_NS = np.zeros((len(rows), len(params.sequences)), dtype=bool)
        for place, row in enumerate(rows):
            is_present_NS[place, list(images.series[row])] = True
        return cls(table, images.text_ids_N[rows], is_present_NS, params)

    def steps(self, seed: int, batching: Batching, num_updates: int) -> Iterator[np.ndarray]:
        """Yield the text of each image of each step, mirrored where the image is. Shape (B,)."""
        flipped_T = self.texts.flipped_T
        groups_N = np.minimum(self.text_ids_N, flipped_T[self.text_ids_N])
        order = batches(groups_N, self.params.batch_size, batching, seed)
        for step, rows_B in enumerate(islice(order, num_updates)):
            present_BS = self.is_present_NS[rows_B]
            draws = Draws.of_step(self.params.augmentation, present_BS, _NUM_AXES, seed=seed, step=step)
            text_ids_B = self.text_ids_N[rows_B]
            yield np.where(draws.is_flipped_B, flipped_T[text_ids_B], text_ids_B)


@dataclass(frozen=True)
class Judge:
    """Tells the matching targets of one objective for any batch of texts.

    Attributes:
        name: of the objective.
        objective: an instance of its class.
        has_sentences: whether it sees one sentence a report, so that no two images share a text.
        similarity: what it is told of the texts, None where it needs none.
        batching: how its batches are filled.
        num_updates: how many it is trained on.
    """

    name: str
    objective: Any
    has_sentences: bool
    similarity: SimilaritySource | None
    batching: Batching
    num_updates: int

    @classmethod
    def build(
        cls, name: str, entry: ObjectiveEntry, order: DataOrder, *, similarities: Path, texts: Path
    ) -> Judge | None:
        """Build an objective as training does.

        Args:
            name: of the objective.
            entry: its section.
            order: of the training.
            similarities: folder of similarity files.
            texts: folder of texts, for a similarity that does not hold every entry.

        Returns:
            None, with a line in the log, where images are not trained to match texts.
        """
        found = find_objective(entry.method)
        if not (entry.is_trained and found.aligns_text):
            logger.info("audit_negatives: %s matches no images with texts in training", name)
            return None
        params = read_params(found, entry.params, f"objectives.{name}.params")
        source: SimilaritySource | None = None
        if "similarity" in found.needs(params):
            source = BatchSimilarity.load(similarities / Path(entry.similarity).name, texts)
            if entry.shuffle_seed is not None:
                source = Shuffled.among(source, order.texts, order.text_ids_N, entry.shuffle_seed)
        quantile = None if source is None else lambda level: source.off_diagonal_quantile(order.text_ids_N, level)
        objective = found(params, replace(_ANY_FACTS, similarity_quantile=quantile))
        own = entry.override(order.params)
        return cls(name, objective, entry.text_view == "sentence", source, own.batching, own.updates)

    @torch.no_grad()
    def targets(self, text_ids_B: np.ndarray) -> np.ndarray | None:
        """Share of each image's target on the text of each image, None without any. Shape (B, B)."""
        text_ids_U, index_B = np.unique(text_ids_B, return_inverse=True)
        if self.has_sentences:
            text_ids_U, index_B = text_ids_B, np.arange(len(text_ids_B))
        similarity = None if self.similarity is None else torch.from_numpy(self.similarity.block(text_ids_U))
        nothing = torch.zeros(len(text_ids_B), 1), torch.zeros(len(text_ids_U), 1)
        batch = Batch(*nothing, torch.from_numpy(index_B), similarity)
        targets_BB = self.objective.matching_targets(batch)
        return None if targets_BB is None else targets_BB.numpy()


@dataclass
class Tally:
    """Counts over the batches of one training, by rule and by what a near-duplicate is.

    A near-duplicate is a text from a threshold of similarity, or, for the threshold None, the same text.
    """

    num_images: int = 0
    num_pairs: int = 0
    num_negatives: Counter[str] = field(default_factory=Counter)
    num_near_duplicates: Counter[tuple[float | None, str]] = field(default_factory=Counter)
    target: dict[float | None, float] = field(default_factory=dict)

    def add(self, targets_BB: np.ndarray, is_near: Mapping[float | None, np.ndarray]) -> None:
        """Count one batch.

        Args:
            targets_BB: share of each image's target on the text of each image.
            is_near: by threshold, whether the texts of two images are near-duplicates, each (B, B).
        """
        size = len(targets_BB)
        is_other_BB = ~np.eye(size, dtype=bool)
        self.num_images += size
        self.num_pairs += size * (size - 1)
        pushed = {_NO_SHARE: is_other_BB & (targets_BB == 0), _BELOW_CHANCE: is_other_BB & (targets_BB < 1 / size)}
        self.num_negatives.update({rule: int(is_pushed_BB.sum()) for rule, is_pushed_BB in pushed.items()})
        for threshold, is_near_BB in is_near.items():
            own = self.target.get(threshold, 0.0)
            self.target[threshold] = own + float(targets_BB[is_near_BB & is_other_BB].sum())
            counts = {(threshold, rule): int((one_BB & is_near_BB).sum()) for rule, one_BB in pushed.items()}
            self.num_near_duplicates.update(counts)

    def rows(self, objective: str, seed: int) -> Iterator[dict[str, Any]]:
        """Rows of the ``NEGATIVES`` contract."""
        for (threshold, rule), num_near in self.num_near_duplicates.items():
            num_negatives = self.num_negatives[rule]
            yield {
                "objective": objective,
                "seed": seed,
                "threshold": threshold,
                "rule": rule,
                "num_pairs": self.num_pairs,
                "num_negatives": num_negatives,
                "num_near_duplicates": num_near,
                "share": num_near / num_negatives if num_negatives else None,
                "target_share": self.target[threshold] / self.num_images,
            }


def audit_negatives(
    order: DataOrder, judges: Sequence[Judge], reference: SimilaritySource, thresholds: Sequence[float]
) -> list[dict[str, Any]]:
    """Count the near-duplicates among the in-batch negatives of every objective and seed.

    A negative is a pair of an image and the text of another image of the batch. By ``no_share`` it has no
    share of the image's target; by ``below_chance`` less than one over the batch, so that a network that
    knows nothing is taught to part it: soft targets that leave nothing at zero have negatives too. An
    objective that reads one sentence a report is judged by the whole reports.

    Args:
        order: of the training.
        judges: of the objectives.
        reference: similarity by which texts nearly repeat each other, the same for every objective.
        thresholds: from which they do; the same text is counted besides.

    Returns:
        Rows of the ``NEGATIVES`` contract.
    """
    rows: list[dict[str, Any]] = []
    orders = dict.fromkeys((judge.batching, judge.num_updates) for judge in judges)
    for seed, (batching, num_updates) in product(order.params.seeds, orders):
        alike = [judge for judge in judges if (judge.batching, judge.num_updates) == (batching, num_updates)]
        tallies: Mapping[str, Tally] = {judge.name: Tally() for judge in alike}
        for text_ids_B in order.steps(seed, batching, num_updates):
            similarity_BB = reference.block(text_ids_B)
            is_near: dict[float | None, np.ndarray] = {value: similarity_BB >= value for value in thresholds}
            is_near[None] = np.equal.outer(text_ids_B, text_ids_B)
            for judge in alike:
                targets_BB = judge.targets(text_ids_B)
                if targets_BB is not None:
                    tallies[judge.name].add(targets_BB, is_near)
        rows += [row for name, tally in tallies.items() for row in tally.rows(name, seed)]
    return rows
