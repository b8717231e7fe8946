"""What may mislead training or tests: near-duplicates among the negatives, and leakage between splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.artifacts import audit_tables, tables
from stages.evaluation import markdown
from stages.evaluation.tables import Results, Row

TRAIN = "train"
RULES = {"no_share": "no share", "below_chance": "below chance"}
CHECKS = {
    "moved_studies": "studies whose patient differs from that of their series",
    "shared_patients": "patients in more than one split",
    "shared_images": "images in more than one split",
    "exact_texts": "texts that training holds too",
    "near_texts": "texts that nearly repeat one of training",
}
SHARED = {"exact_texts": "are in training too", "near_texts": "nearly repeat one of training"}


@dataclass(frozen=True)
class Near:
    """Near-duplicates among the negatives of one objective, all seeds together.

    Attributes:
        kind: ``same_text``, or ``similar_`` and the least similarity.
        rule: how a negative is told.
        num_negatives: pairs that the objective pushes apart.
        num_near: of these, pairs whose text nearly repeats the image's own.
        target_share: mean share of an image's target on near-duplicates of other images.
    """

    objective: str
    kind: str
    rule: str
    num_negatives: int
    num_near: int
    target_share: float


@dataclass(frozen=True)
class Audits:
    """Counts of the audits, as far as they may be shown."""

    results: Results
    negatives: Sequence[Near]
    #: rows of the ``LEAKAGE`` contract
    leakage: Sequence[Row]

    @classmethod
    def load(cls, results: Results, negatives: Path, leakage: Path) -> Audits:
        """Read the tables of both audits; objectives that are no longer in the results are left out."""
        groups: dict[tuple[str, str, str], list[Row]] = {}
        for row in tables.read(negatives, audit_tables.NEGATIVES).to_pylist():
            kind = "same_text" if row["threshold"] is None else f"similar_{row['threshold']:.3g}"
            groups.setdefault((row["objective"], kind, row["rule"]), []).append(row)
        found = [
            Near(
                objective=name,
                kind=kind,
                rule=rule,
                num_negatives=sum(row["num_negatives"] for row in rows),
                num_near=sum(row["num_near_duplicates"] for row in rows),
                target_share=sum(row["target_share"] for row in rows) / len(rows),
            )
            for (name, kind, rule), rows in groups.items()
            if name in results.methods
        ]
        return cls(results, found, tables.read(leakage, audit_tables.LEAKAGE).to_pylist())

    def rows(self) -> list[Row]:
        """Shares and counts as rows of ``results.csv``; what is counted is no sample of patients."""
        shown: dict[tuple[str, ...], Row] = {}
        for near in self.negatives:
            share = near.num_near / near.num_negatives if near.num_negatives else None
            for metric, value in ((f"{near.rule}/near_duplicates", share), ("target_share", near.target_share)):
                about: Row = {"task": "negatives", "metric": metric, "objective": near.objective, "split": TRAIN}
                row = about | {"class": near.kind, "seed": "all"} | self._shown(value, near.num_near)
                shown.setdefault((metric, near.objective, near.kind), row)
        for counted in self.leakage:
            about = {"task": "leakage", "metric": counted["check"], "split": counted["split"], "class": "all"}
            row = about | {"seed": "all"} | self._shown(float(counted["count"]), counted["count"])
            shown[counted["check"], counted["split"]] = row
        return list(shown.values())

    def summary(self) -> list[str]:
        """Say on the first page what splits share."""
        if not self.leakage:
            return []
        gates = [f"{row['count']} {CHECKS[row['check']]}" for row in self.leakage if row["is_gate"]]
        shared = [
            f"{self._share(row['count'], row['out_of'])} {SHARED[row['check']]}"
            for row in self.leakage
            if row["check"] in SHARED and row["split"] == self.results.params.primary_split
        ]
        of_texts = f" Of the texts of the {self.results.params.primary_split} split, {' and '.join(shared)}."
        gates_are = f"Gates, which stop the pipeline unless they are 0: {', '.join(gates)}."
        return ["## Leakage", gates_are + (of_texts if shared else "")]

    def leakage_section(self) -> list[str]:
        """Compose the table of what splits share."""
        cells = [
            [
                CHECKS[row["check"]],
                row["split"].replace("_", " "),
                self._count(row["count"]),
                self._count(row["out_of"]),
            ]
            for row in self.leakage
        ]
        return ["## Leakage", markdown.write_table(["what", "split", "count", "of"], cells)] if cells else []

    def negatives_section(self) -> list[str]:
        """Compose the table of near-duplicates among the negatives."""
        if not self.negatives:
            return []
        pushed = {
            (near.objective, f"{near.kind.replace('_', ' ')}, {RULES[near.rule]}"): self._share(
                near.num_near, near.num_negatives
            )
            for near in self.negatives
        }
        aimed = {(near.objective, near.kind.replace("_", " ")): self._target(near) for near in self.negatives}
        return [
            "## Near-duplicates among the negatives",
            "Share of the in-batch negatives of training, pairs of an image and another image's text, whose text "
            "nearly repeats the image's own. A pair is a negative if it has no share of the image's target, or less "
            "than one over the batch.",
            _cross_table(pushed),
            "Mean share of an image's target that lies on such texts of other images:",
            _cross_table(aimed),
        ]

    def _shown(self, value: float | None, count: int) -> Row:
        if self._is_withheld(count):
            return {"reason": f"fewer than {self.results.params.min_patients}, suppressed"}
        return {"value": value, "reason": "counted, not sampled" if value is not None else "no negatives"}

    def _is_withheld(self, count: int) -> bool:
        return not self.results.is_public and 0 < count < self.results.params.min_patients

    def _count(self, count: int) -> str:
        return f"<{self.results.params.min_patients}" if self._is_withheld(count) else str(count)

    def _share(self, count: int, out_of: int) -> str:
        if not out_of:
            return markdown.NOTHING
        return f"{self._count(count)} of {out_of}" if self._is_withheld(count) else f"{count / out_of:.2%}"

    def _target(self, near: Near) -> str:
        return markdown.NOTHING if self._is_withheld(near.num_near) else f"{near.target_share:.2%}"


def _cross_table(cells: Mapping[tuple[str, str], str]) -> str:
    names, columns = (list(dict.fromkeys(key[axis] for key in cells)) for axis in (0, 1))
    rows = [[f"`{name}`", *(cells.get((name, column), markdown.NOTHING) for column in columns)] for name in names]
    return markdown.write_table(["method", *columns], rows)
