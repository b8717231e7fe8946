"""The results page: one screen of tables in Markdown, with no date and no timing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.evaluation.estimates import Quantity
from stages.evaluation.tables import NDCG, PROBE_AUC, RECALL, SUPERVISED_AUC, ZERO_SHOT_AUC, Results, Row

METRIC_NAMES = {
    NDCG.metric: "nDCG@10",
    RECALL.metric: "R@10",
    ZERO_SHOT_AUC.metric: "zero-shot AUC",
    PROBE_AUC.metric: "probe AUC",
    SUPERVISED_AUC.metric: "supervised AUC",
}
SPLIT_NAMES = {"test": "Test", "test_shifted": "Shifted test", "test_vendor": "Unseen vendor"}


@dataclass(frozen=True)
class Page:
    """Everything that the results page shows."""

    results: Results
    #: rows of `comparisons.csv` and `flow.csv`
    comparisons: Sequence[Row]
    flow: Sequence[Row]
    #: file name and caption of each figure
    figures: Sequence[tuple[str, str]]
    #: where gains and labels come from: truth, or statements and mined labels
    gain_source: str
    label_source: str
    #: folders as seen from the page
    tables_folder: str
    figures_folder: str

    def write(self) -> str:
        """Compose the page in Markdown."""
        parts = [
            "# Results",
            f"{self._cohort_note()} {self._source_note()}",
            *(part for split in self.results.splits for part in self._headline_table(split)),
            *self._comparison_table(),
            *self._flow_table(),
            *self._reading_notes(),
            *self._figure_links(),
        ]
        return "\n\n".join(parts) + "\n"

    def _cohort_note(self) -> str:
        if self.results.is_simulated:
            return (
                "**Simulated cohort**: real anatomy, simulated contrast, disease and reports. "
                "These numbers compare methods with one another; they say nothing about patients."
            )
        if self.results.params.publish_examples:
            return "Real cohort, published in full (`publish_examples`)."
        smallest = self.results.params.min_patients
        return f"Real cohort, aggregates only: cells of fewer than {smallest} patients are withheld."

    def _source_note(self) -> str:
        gain = "the truth" if self.gain_source == "truth" else "statements extracted from the reports, not from truth"
        labels = "the truth" if self.label_source == "truth" else "mined from the reports, not the truth"
        return f"Retrieval gains come from {gain}; classification labels are {labels}."

    def _headline_table(self, split: str) -> list[str]:
        estimates = self.results.estimates
        quantities = [q for q in self.results.headlines(split) if any(q in known for known in estimates.values())]
        rows = [
            [f"`{name}`", *(self._shown(name, quantity) for quantity in quantities)]
            for name in estimates
            if any(quantity in estimates[name] for quantity in quantities)
        ]
        sizes = [q.num_patients for known in estimates.values() for key, q in known.items() if key in quantities]
        simulated = " (simulated)" if self.results.is_simulated else ""
        head = f"## {SPLIT_NAMES.get(split, split)}{simulated}"
        patients = f"{max(sizes)} patients; " if sizes and "n" in self._any_cell(quantities) else ""
        about = (
            f"{patients}mean over seeds, with {self.results.params.confidence:.0%} intervals over patients and seeds."
        )
        return [head, about, markdown_table(["method", *map(heading, quantities)], rows)]

    def _any_cell(self, quantities: Sequence[Quantity]) -> Row:
        cells = [
            self.results.cell(known[quantity])
            for known in self.results.estimates.values()
            for quantity in quantities
            if quantity in known
        ]
        return next((cell for cell in cells if "n" in cell), {})

    def _shown(self, name: str, quantity: Quantity) -> str:
        estimate = self.results.estimates[name].get(quantity)
        cell = self.results.cell(estimate) if estimate else {}
        if "value" not in cell:
            return "–"
        span = f" [{cell['low']:.3f}, {cell['high']:.3f}]" if "low" in cell else ""
        return f"{cell['value']:.3f}{span}"

    def _comparison_table(self) -> list[str]:
        split = self.results.params.primary_split
        here = [row for row in self.comparisons if row["split"] == split]
        columns = list(dict.fromkeys(_column(row) for row in here))
        by_pair: dict[tuple[str, str], dict[str, str]] = {}
        for row in here:
            by_pair.setdefault((row["objective"], row["baseline"]), {})[_column(row)] = _delta(row)
        rows = [
            [f"`{name}` − `{baseline}`", *(cells.get(column, "–") for column in columns)]
            for (name, baseline), cells in by_pair.items()
        ]
        about = (
            f"Paired differences on the {split} split. **Bold**: better, the interval lies above 0. "
            "Signs: of each seed's difference. p: adjusted by Holm over the methods and the two declared figures "
            "(nDCG@10, zero-shot AUC), for each baseline."
        )
        return ["## Comparisons", about, markdown_table(["difference", *columns], rows)] if rows else []

    def _flow_table(self) -> list[str]:
        rows = [[row["level"], row["group"].replace("_", " "), str(row["count"])] for row in self.flow]
        return ["## Cohort flow", markdown_table(["level", "group", "count"], rows)]

    def _reading_notes(self) -> list[str]:
        notes = [
            "nDCG@10 (declared figure of retrieval): image to text; the gain of a text is its content's agreement with "
            "what is known of the study, independent of every training similarity.",
            "R@10: a text with the same set of statements is among the first ten.",
            "Zero-shot AUC (declared figure of classification): cosine to the positive minus cosine to the negative "
            "prompts. Probe AUC: logistic regression on frozen image embeddings at a share of the training labels, "
            "mean over nested draws that all methods share, each with at least one positive and one negative "
            "patient. Both: mean over the classes with enough positives.",
            "`chance`: expectation of a random ranking; `metadata`: the same probe on sequences present, vendor, "
            "spacing, age and field strength.",
            f"Everything else, by split, class, language and seed: [`results.csv`]({self.tables_folder}/results.csv), "
            f"[`comparisons.csv`]({self.tables_folder}/comparisons.csv), [`flow.csv`]({self.tables_folder}/flow.csv).",
        ]
        return ["## How to read this", "\n".join(f"- {note}" for note in notes)]

    def _figure_links(self) -> list[str]:
        return ["## Figures", *(f"![{caption}]({self.figures_folder}/{file})" for file, caption in self.figures)]


def heading(quantity: Quantity) -> str:
    """Short name of a headline quantity."""
    name = METRIC_NAMES[quantity.metric]
    return name if quantity.label_fraction is None else f"{name}, {quantity.label_fraction:.0%} of labels"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; a vertical bar in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _column(row: Row) -> str:
    fraction = row["label_fraction"]
    return heading(Quantity(row["task"], row["metric"], "", row["class"], float(fraction) if fraction else None))


def _delta(row: Row) -> str:
    if "delta" not in row:
        return "–"
    text = f"{row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    text = f"**{text}**" if row["better"] == "yes" else text
    return " ".join([text, row["seed_signs"], *([f"p {row['p_holm']:.3f}"] if "p_holm" in row else [])]).strip()
