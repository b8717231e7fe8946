"""What the numbers of the tables are about: tasks, quantities, and which of them are declared."""

from __future__ import annotations

from dataclasses import dataclass

RETRIEVAL, CLASSIFICATION, FINETUNING = "retrieval", "classification", "finetuning"
SEGMENTATION, LOCALISATION = "segmentation", "localisation"
GENERATION = "generation"
SHORTCUTS, RECALL_LOSS = "shortcuts", "recall_loss"
VQA, REGIONS = "vqa", "regions"
ALL, ABNORMAL, MACRO = "all", "abnormal", "macro"
VALIDATION = "validation"
#: who writes reports: the decoder that all methods share, the training study whose image is most similar, or a
#: decoder that the method brings itself
DECODER, NEAREST, OWN = "decoder", "nearest", "own"
#: protocol whose cases are a task of their own, in whichever file they lie
FINE_TUNING = "fine_tuning"

# Last part of the names of metrics of which less is better.
_LOWER_IS_BETTER = frozenset({"median_rank", "hd95_mm", "ndcg_drop", "vendor_accuracy", "field_strength_accuracy"})


@dataclass(frozen=True)
class Quantity:
    """What a number is about; methods are compared quantity by quantity.

    Attributes:
        task: one of the tasks of this module.
        metric: name of the metric, after its direction, protocol or query where it has one.
        split: evaluated split; empty where a quantity of any split is declared.
        cls: class, subset or stratum; ``all`` or ``macro`` for the whole.
        label_fraction: share of the training labels or masks used.
        shots: labelled patients of each label and class, where they are counted.
    """

    task: str
    metric: str
    split: str
    cls: str
    label_fraction: float | None = None
    shots: int | None = None

    @property
    def labels(self) -> str:
        """The labels used, as the tables write them; empty where a method uses none."""
        if self.shots is not None:
            return f"{self.shots} per class"
        return "" if self.label_fraction is None else f"{self.label_fraction:g}"

    @property
    def is_whole(self) -> bool:
        """Whether this is about all cases or classes."""
        return self.cls in (ALL, MACRO)

    @property
    def is_lower_better(self) -> bool:
        """Whether a smaller number is the better one."""
        return self.metric.rsplit("/", 1)[-1] in _LOWER_IS_BETTER
