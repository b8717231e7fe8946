"""Trace which code every stage runs, so that an edit reruns the stages that it reaches and no others."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Annotated

import typer

from stages.artifacts.code import closure, manifest

logger = logging.getLogger(__name__)


def main(
    code: Annotated[Path, typer.Option(help="Folder of the stages.")],
    objectives: Annotated[Path, typer.Option(help="Folder of the objectives, which a training imports by name.")],
    out: Annotated[Path, typer.Option(help="Folder of one manifest for each stage and each objective.")],
) -> None:
    """Write for every stage and every objective the hashes of the files that it imports, comments aside."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    root = code.resolve().parent
    shutil.rmtree(out, ignore_errors=True)
    targets = {out / f"{file.stem}.txt": file for file in _modules(code)}
    targets |= {out / objectives.name / f"{file.stem}.txt": file for file in _modules(objectives)}
    for target, file in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(manifest(closure(file.resolve(), root), root), encoding="utf-8")
    logger.info("trace_code: %d stages and objectives", len(targets))


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.stem not in {"__init__", "params"})


if __name__ == "__main__":
    typer.run(main)
