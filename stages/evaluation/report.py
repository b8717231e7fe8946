"""The results pages: one with the declared figures, one for each task; no date and no timing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.evaluation import markdown
from stages.evaluation.audits import Audits
from stages.evaluation.figures import Drawn
from stages.evaluation.quantities import RECALL_LOSS, SHORTCUTS, Quantity
from stages.evaluation.tables import Results, Row
from stages.evaluation.tasks import TASKS
from stages.evaluation.views import Task

_SIGNS = (
    "**Bold**: better, that is, the interval lies on the better side of 0 and the unadjusted p is below "
    "{level:g}. Signs: of each seed's difference. p: of the declared figures, adjusted by Holm over all methods and "
    "tasks for each baseline."
)


@dataclass(frozen=True)
class Links:
    """Where the rest of the results lies, as seen from the first page."""

    #: folders of tables and of the pages of tasks
    tables: str
    tasks: str
    #: pages of example figures, answered questions, generated reports, and of the quality of the cohort
    examples: str
    answers: str
    generated: str
    quality: str

    @classmethod
    def seen_from(cls, page: Path, **targets: Path) -> Links:
        """Make the paths of files and folders relative to a page."""
        return cls(**{name: os.path.relpath(target, page.parent) for name, target in targets.items()})


@dataclass(frozen=True)
class Pages:
    """Everything that the results pages show."""

    results: Results
    #: rows of `comparisons.csv` and `flow.csv`
    comparisons: Sequence[Row]
    flow: Sequence[Row]
    audits: Audits
    figures: Sequence[Drawn]
    #: where gains and labels come from: truth, or statements and mined labels
    gain_source: str
    label_source: str
    links: Links

    def write_first(self) -> str:
        """Compose the first page in Markdown: declared figures, contrasts, and where the rest is."""
        parts = [
            "# Results",
            f"{self._cohort_note()} {self._source_note()}",
            *self._headline_section(),
            *self._contrast_section(),
            *self._task_section(),
            *self.audits.summary(),
            *self._flow_section(),
            *self._reading_section(),
        ]
        return "\n\n".join(parts) + "\n"

    def write_task(self, task: Task, back: str, figures_folder: str) -> str:
        """Compose the page of one task in Markdown.

        Args:
            task: the task.
            back: the first page, as seen from this one.
            figures_folder: folder of figures, as seen from this page.
        """
        parts = [f"# {task.title}{self._simulated}", f"[All results]({back})", task.reading]
        if not self.results.has_cases(task):
            parts.append(f"Nothing to show: {task.missing}.")
        parts += self._view_sections(task)
        parts += self._comparison_sections(task)
        parts += self.audits.leakage_section() if task.name == SHORTCUTS else []
        parts += self.audits.negatives_section() if task.name == RECALL_LOSS else []
        drawn = [figure for figure in self.figures if task.name in figure.tasks]
        parts += ["## Figures"] if drawn else []
        parts += [f"![{figure.caption}]({figures_folder}/{figure.file})" for figure in drawn]
        return "\n\n".join(parts) + "\n"

    @property
    def _simulated(self) -> str:
        return " (simulated)" if self.results.is_simulated else ""

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

    def _primaries(self) -> dict[Quantity, str]:
        split = self.results.params.primary_split
        return {q: task.primary_title for q, task in self.results.primaries(split).items()}

    def _headline_section(self) -> list[str]:
        known = {q for name in self.results.methods for q in self.results.estimates[name]}
        columns = [(quantity, heading) for quantity, heading in self._primaries().items() if quantity in known]
        heading = f"{markdown.name_split(self.results.params.primary_split)}{self._simulated}"
        about = f"The declared figure of each task. {markdown.about_table(self.results, columns)}"
        return [f"## {heading}", about, markdown.method_table(self.results, columns)]

    def _contrast_section(self) -> list[str]:
        pairs = {(name, other) for name, others in self.results.params.contrasts.items() for other in others}
        rows = [row for row in self.comparisons if (row["objective"], row["baseline"]) in pairs]
        table = markdown.contrast_table(rows, self._primaries())
        return ["## Comparisons", self._about_differences(), table] if table else []

    def _about_differences(self) -> str:
        split = self.results.params.primary_split
        signs = _SIGNS.format(level=round(1.0 - self.results.params.confidence, 6))
        return f"Paired differences on the {split} split. {signs}"

    def _task_section(self) -> list[str]:
        links = self.links
        lines = []
        for task in TASKS:
            about = "" if self.results.has_cases(task) else f": nothing to show, {task.missing}"
            lines.append(f"- [{task.title}]({links.tasks}/{task.name}.md){about}")
        lines.append(f"- [Examples]({links.examples}): what the methods look at in a few test studies")
        lines.append(f"- [Answers]({links.answers}): what the methods answer about a few test studies")
        lines.append(f"- [Generated reports]({links.generated}): what the methods write about a few test studies")
        lines.append(f"- [Quality of the cohort]({links.quality}): counts, histograms, sentences with their statements")
        return ["## Tasks", "Every table, comparison and figure of a task:", "\n".join(lines)]

    def _flow_section(self) -> list[str]:
        rows = [[row["level"], row["group"].replace("_", " "), str(row["count"])] for row in self.flow]
        return ["## Cohort flow", markdown.write_table(["level", "group", "count"], rows)]

    def _reading_section(self) -> list[str]:
        folder = self.links.tables
        notes = [
            *(f"{task.title}. {task.reading}" for task in TASKS if self.results.has_cases(task)),
            "`chance`: expectation of a map or ranking without information; `random`: the encoder before training.",
            "Intervals resample patients, with all their studies, and seeds. p is the larger one of a sign flip of "
            "each patient's difference, where the figure is a mean over cases, and of the paired bootstrap.",
            f"Everything else, by split, class, language, labels and seed: [`results.csv`]({folder}/results.csv), "
            f"[`comparisons.csv`]({folder}/comparisons.csv), [`flow.csv`]({folder}/flow.csv), "
            f"[`headline.csv`]({folder}/headline.csv).",
        ]
        return ["## How to read this", "\n".join(f"- {note}" for note in notes)]

    def _view_sections(self, task: Task) -> list[str]:
        parts = []
        for view in task.views:
            splits = self.results.splits(task) if view.is_every_split else [self.results.params.primary_split]
            found = {split: self.results.columns(task, view, split) for split in splits}
            shown = {split: columns for split, columns in found.items() if columns}
            for split, columns in shown.items():
                where = [markdown.name_split(split)] if len(shown) > 1 or not view.title else []
                heading = ": ".join([*([view.title] if view.title else []), *where])
                about = markdown.about_table(self.results, columns)
                parts += [f"## {heading}{self._simulated}", about, markdown.method_table(self.results, columns)]
        return parts

    def _comparison_sections(self, task: Task) -> list[str]:
        split = self.results.params.primary_split
        columns = dict(self.results.columns(task, task.views[0], split))
        pairs = {(name, other) for name, others in self.results.params.contrasts.items() for other in others}
        contrasts = [row for row in self.comparisons if (row["objective"], row["baseline"]) in pairs]
        others = [row for row in self.comparisons if row["baseline"] in self.results.params.baselines]
        table = markdown.contrast_table(contrasts, columns)
        parts = ["## Comparisons", self._about_differences(), table] if table else []
        for quantity, declared in self.results.primaries(split).items():
            against = markdown.baseline_table(others, quantity) if declared is task else ""
            parts += [f"## Against the baselines: {task.primary_title}", against] if against else []
        return parts
