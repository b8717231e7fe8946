"""Cases of the evaluations that need networks, and the audits, as the tables find them: synthetic numbers."""

import numpy as np

from stages.artifacts import audit_tables, evaluation_tables, tables

LESIONS = ("infarct", "mass")
REGIONS = ("left insula", "right insula", "brainstem", "sella", "pineal")
#: how good a method is, in every task
SKILLS = {
    "chance": 0.0,
    "blind": 0.0,
    "prior": 0.4,
    "most_frequent": 0.05,
    "oracle": 0.9,
    "scratch": 0.1,
    "random": 0.1,
    "clip": 0.3,
    "selip": 0.5,
    "supervised": 0.6,
}
SHARES = (0.01, 0.1, 1.0)


def write_measured(files, objectives, *, has_masks=True, num_seeds=2):
    """Write fine-tuning, segmentation, localisation, answer, shortcut and lost-recall cases, and the audits.

    Args:
        files: a ``CohortFiles``.
        objectives: the objectives, with cases of every task.
        has_masks: whether there are cases of the tasks that need masks.
        num_seeds: seeds of each objective.
    """
    builder = Builder(files, num_seeds)
    for name in objectives:
        builder.write_finetuning(name)
    for name in ("scratch", *objectives):
        builder.write("segmentation", name, builder.segmentation(name) if has_masks else [])
    for name in ("chance", "oracle", *objectives):
        builder.write("localisation", name, builder.localisation(name) if has_masks else [])
    for name in ("chance", "blind", *objectives):
        builder.write("vqa", name, builder.vqa(name))
    for name in ("chance", "prior", *objectives):
        builder.write_regions(name)
    for name in ("most_frequent", *objectives):
        builder.write("generation", name, builder.generation(name))
    for name in objectives:
        builder.write("shortcuts", name, builder.shortcuts(name))
        builder.write("recall_loss", name, builder.recall_loss(name))
    write_audits(files, objectives)


class Builder:
    """Draws cases of the evaluated studies; the same studies for every method."""

    def __init__(self, files, num_seeds):
        self.files = files
        self.num_seeds = num_seeds
        self.rng = np.random.default_rng(5)
        self.difficulty = self.rng.normal(size=len(files.study_ids)) * 0.1

    def cases(self, name, metric, *, cls="all", studies=None, share=None, level=0.0, slope=1.0):
        """Values around ``level`` plus ``slope`` times the skill, correlated over methods."""
        chosen = range(len(self.files.study_ids)) if studies is None else studies
        seeds = range(1 if name in ("chance", "oracle", "most_frequent") else self.num_seeds)
        return [
            {
                "objective": name, "seed": seed, "split": self.files.splits[n], "study_id": self.files.study_ids[n],
                "patient_id": self.files.patient_ids[n], "metric": metric, "class": cls, "label_fraction": share,
                "value": level + slope * (SKILLS[name] + self.difficulty[n] + 0.02 * self.rng.normal()),
            }
            for seed in seeds
            for n in chosen
            if self.files.splits[n].startswith("test")
        ]  # fmt: skip

    def with_finding(self, column):
        return [n for n, labels in enumerate(self.files.labels) if labels[column]]

    def segmentation(self, name):
        return [
            row
            for share in SHARES
            for row in (
                *self.cases(name, "dice", share=share, level=0.1 * share),
                *self.cases(name, "hd95_mm", share=share, level=30.0, slope=-20.0),
                *(
                    row
                    for column, finding in enumerate(LESIONS)
                    for row in self.cases(name, "dice", cls=finding, share=share, studies=self.with_finding(column))
                ),
            )
        ]

    def localisation(self, name):
        metrics = [
            f"{kind}/{metric}"
            for kind in ("prompt", "sentence")
            for metric in ("pointing_game", "iou", "average_precision", "contrast_to_noise")
        ]
        by_class = [
            row
            for column, finding in enumerate(LESIONS)
            for row in self.cases(name, "prompt/pointing_game", cls=finding, studies=self.with_finding(column))
        ]
        return [row for metric in metrics for row in self.cases(name, metric)] + by_class

    def vqa(self, name):
        by_kind = [row for kind in ("presence", "site") for row in self.cases(name, "balanced_accuracy", cls=kind)]
        return [*by_kind, *self.cases(name, "closed_accuracy"), *self.cases(name, "open_accuracy")]

    def generation(self, name):
        metrics = [
            f"{kind}/{metric}"
            for kind in ("decoder", "nearest")
            for metric in ("findings_f1", "findings_precision", "findings_recall", "side_f1", "bleu_4", "cider")
        ]
        by_class = [
            row
            for column, finding in enumerate(LESIONS)
            for row in self.cases(name, "decoder/findings_f1", cls=finding, studies=self.with_finding(column))
        ]
        return [row for metric in metrics for row in self.cases(name, metric)] + by_class

    def shortcuts(self, name):
        drops = [row for sequence in ("T1", "T2", "all") for row in self.cases(name, "ndcg_drop", cls=sequence)]
        told = [row for vendor in ("ge", "siemens", "all") for row in self.cases(name, "vendor_accuracy", cls=vendor)]
        return [*told, *drops]

    def recall_loss(self, name):
        return [
            row
            for direction in ("text_to_image", "image_to_text")
            for metric in ("recall@1", "recall@10", "lost_to_equal@1", "lost_to_near@1")
            for row in self.cases(name, f"{direction}/{metric}")
        ]

    def write(self, task, name, rows):
        contract = evaluation_tables.MEASURE_CASES
        tables.write(self.files.path(f"evaluations/{task}/{name}.parquet"), tables.from_rows(contract, rows), contract)

    def write_regions(self, name):
        """Cases of regions; SeLIP has a head of its own, which exchanged regions mislead."""
        rows = {name: SKILLS[name]}
        if name not in ("chance", "prior"):
            has_head = name == "selip"
            rows |= {f"{name}_own": 0.9 if has_head else None, f"{name}_own_shuffled": 0.0 if has_head else None}
        folder = "evaluations/regions" if len(rows) == 1 else f"evaluations/regions/{name}"
        contract = evaluation_tables.REGION_CASES
        for row, skill in rows.items():
            table = tables.from_rows(contract, [] if skill is None else self.regions(row, skill))
            tables.write(self.files.path(f"{folder}/{row}.parquet"), table, contract)

    def regions(self, name, skill):
        return [
            {
                "objective": name, "seed": seed, "split": self.files.splits[n], "study_id": self.files.study_ids[n],
                "patient_id": self.files.patient_ids[n], "class": finding, "region": region, "label": label,
                "score": 0.0 if name == "chance" else 3 * skill * label + self.rng.normal(),
            }
            for seed in range(1 if name in ("chance", "prior") else self.num_seeds)
            for column, finding in enumerate(LESIONS)
            for n, labels in enumerate(self.files.labels)
            if self.files.splits[n].startswith("test")
            for number, region in enumerate(REGIONS)
            for label in [int(labels[column] and number == n % len(REGIONS))]
        ]  # fmt: skip

    def write_finetuning(self, name):
        rows = [
            {
                "objective": name, "seed": seed, "split": split, "study_id": self.files.study_ids[n],
                "patient_id": self.files.patient_ids[n], "protocol": "fine_tuning", "class": finding,
                "label_fraction": share, "shots": shots, "draw": None,
                "score": 2 * SKILLS[name] * labels[column] + self.difficulty[n] + 0.3 * self.rng.normal(),
                "label": int(labels[column]),
            }
            for seed in range(self.num_seeds)
            for share, shots in (*((share, None) for share in SHARES), (None, 1), (None, 5))
            for n, (split, labels) in enumerate(zip(self.files.splits, self.files.labels, strict=True))
            for column, finding in enumerate(LESIONS)
            if split != "train"
        ]  # fmt: skip
        contract = evaluation_tables.CLASSIFICATION_CASES
        path = self.files.path(f"evaluations/finetuning/{name}.parquet")
        tables.write(path, tables.from_rows(contract, rows), contract)


def write_audits(files, objectives):
    """Near-duplicates among the negatives, and what splits share."""
    negatives = [
        {
            "objective": name, "seed": seed, "threshold": threshold, "rule": rule, "num_pairs": 1000,
            "num_negatives": 900, "num_near_duplicates": number, "share": number / 900, "target_share": 0.05,
        }
        for name in objectives
        for seed in (0, 1)
        for rule in ("no_share", "below_chance")
        for threshold, number in ((0.9, 18), (None, 1))
    ]  # fmt: skip
    counts = [
        ("shared_patients", "all", 0, 120, True),
        ("shared_images", "all", 0, 240, True),
        ("exact_texts", "test", 12, 40, False),
        ("near_texts", "test", 3, 40, False),
    ]
    leakage = [dict(zip(("check", "split", "count", "out_of", "is_gate"), values, strict=True)) for values in counts]
    for path, contract, rows in (
        ("negatives.parquet", audit_tables.NEGATIVES, negatives),
        ("leakage.parquet", audit_tables.LEAKAGE, leakage),
    ):
        tables.write(files.path(path), tables.from_rows(contract, rows), contract)
