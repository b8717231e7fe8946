"""Compare every text with every other, by statements, syntax and embedding."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import RootModel

from stages.artifacts import tables, tensors
from stages.artifacts.report_tables import FINDINGS, TEXTS
from stages.params import DEFAULT_PATH, load
from stages.reports.features import TextFeatures, TextStatements, training_centre
from stages.reports.lexicon import Lexicon
from stages.reports.scoring import SimilarityParams, TextScorer
from stages.reports.sparse import SparseSimilarity, keep_all, keep_best

logger = logging.getLogger(__name__)

# All entries of more texts than this are too much to keep.
MAX_COMPLETE_TEXTS = 10_000


class Similarities(RootModel[dict[str, SimilarityParams]]):
    """Section ``similarities``: one entry for each similarity that an objective uses."""


def main(
    texts: Annotated[Path, typer.Option(help="Folder that encode_texts wrote.")],
    reports: Annotated[Path, typer.Option(help="Folder with findings.parquet.")],
    out: Annotated[Path, typer.Option(help="Similarity file to write.")],
    name: Annotated[str | None, typer.Option(help="Entry of `similarities`; the first one by default.")] = None,
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
    splits: Annotated[
        Path | None, typer.Option(help="splits.parquet: embeddings are centred on its training texts; on all without.")
    ] = None,
) -> None:
    """Write the symmetric similarity of all texts, flipped ones included, as compressed sparse rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = choose(load("similarities", Similarities, params), name)
    centre = training_centre(texts, splits) if splits else None
    if centre is None:
        logger.info("no --splits: embeddings are centred on all texts, not on those of training studies")
    features = load_features(texts, reports / "findings.parquet", centre)
    matrix = compare(features, config)
    about = {
        "config": config.model_dump(),
        "is_complete": config.top_k is None and config.threshold == 0,
        "num_texts": features.num_texts,
    }
    stored = {"indptr": matrix.indptr, "indices": matrix.indices, "values": matrix.values}
    flags = {"is_fallback": features.statements.is_silent} | ({} if centre is None else {"centre": centre})
    tensors.write(out, stored | flags | features.statements.to_tensors(), about)
    logger.info(
        "%d texts, %d entries kept (%.1f %%), %d texts without a statement compared by their embedding",
        features.num_texts,
        len(matrix.values),
        100 * len(matrix.values) / features.num_texts**2,
        np.count_nonzero(features.statements.is_silent),
    )


def choose(similarities: Similarities, name: str | None) -> SimilarityParams:
    """Pick an entry by name, the first without one.

    Raises:
        ValueError: if there is no such entry.
    """
    name = next(iter(similarities.root), "") if name is None else name
    if name not in similarities.root:
        raise ValueError(f"similarities.{name}: no such entry, expected one of {list(similarities.root)}")
    return similarities.root[name]


def load_features(texts: Path, findings: Path, centre: np.ndarray | None = None) -> TextFeatures:
    """Read texts, their embeddings and their statements."""
    embeddings = texts / "embeddings.safetensors"
    lexicon = Lexicon.load(tensors.read_metadata(embeddings)["lexicon"])
    statements = TextStatements.collect(
        tables.read(texts / "texts.parquet", TEXTS).to_pylist(),
        tensors.read(embeddings, ["statement_offsets", "statement_rows", "statement_lines"]),
        tables.read(findings, FINDINGS).to_pylist(),
        {code: site.parent for code, site in lexicon.sites.items()},
    )
    return TextFeatures.load(texts, statements, centre)


def compare(features: TextFeatures, config: SimilarityParams) -> SparseSimilarity:
    """Compare all texts, block by block.

    Raises:
        ValueError: if every entry is to be kept of more texts than fit.
    """
    blocks = TextScorer(features, config).blocks()
    if config.top_k is not None:
        return keep_best(blocks, features.num_texts, config.top_k, config.threshold)
    if features.num_texts > MAX_COMPLETE_TEXTS:
        raise ValueError(
            f"{features.num_texts} texts, expected at most {MAX_COMPLETE_TEXTS} where every entry is kept; "
            "set similarities.<name>.top_k"
        )
    return keep_all(blocks, features.num_texts, config.threshold)


if __name__ == "__main__":
    typer.run(main)
