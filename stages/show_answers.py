"""Show a few questions about test studies, the true answers and those of several objectives."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from pydantic import RootModel

from stages.artifacts import evaluation_tables, report_tables, tables
from stages.evaluation.answer_page import AnswerPageParams, choose_questions, write_page
from stages.evaluation.cases import BLIND
from stages.evaluation.publication import SimulatedFolder
from stages.params import DEFAULT_PATH, load

logger = logging.getLogger(__name__)


class Chosen(RootModel[list[str]]):
    """Objectives that are asked."""


def main(
    answers: Annotated[Path, typer.Option(help="Folder of answers: <objective>.parquet.")],
    phrases: Annotated[Path, typer.Option(help="Wordings of the questions (Parquet).")],
    cohort: Annotated[Path, typer.Option(help="Where the cohort was read from; only tells whether it is simulated.")],
    out: Annotated[Path, typer.Option(help="Page to write (Markdown).")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write the page, or one that says why it is empty."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    section = load("show_answers", AnswerPageParams, params)
    names = [*load("evaluate_vqa.objectives", Chosen, params).root, BLIND]
    simulated = load("tabulate_results.simulated_folder", SimulatedFolder, params)
    is_simulated = simulated.holds(cohort)
    missing, text = "", ""
    if not is_simulated and not section.publish_examples:
        missing = "a real cohort is shown only if show_answers.publish_examples says so"
    else:
        given = {
            name: tables.read(answers / f"{name}.parquet", evaluation_tables.VQA_ANSWERS).to_pylist() for name in names
        }
        if chosen := choose_questions(given[names[0]], section):
            wordings = tables.read(phrases, report_tables.PHRASES)["text"].to_pylist()
            about = "Simulated cohort" if is_simulated else "Real cohort, published by `show_answers.publish_examples`"
            text = write_page(chosen, given, wordings, section, cohort=about)
        else:
            missing = f"no question was asked about a study of the {section.split} split"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text or f"# Answers to questions\n\nNothing is shown: {missing}.\n", encoding="utf-8")
    logger.info("show_answers: %s", f"nothing shown, {missing}" if missing else f"{len(chosen)} questions")


if __name__ == "__main__":
    typer.run(main)
