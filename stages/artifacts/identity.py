"""Keyed ids: no DICOM UID, name, date or accession number leaves ingestion, only HMACs of them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MIN_KEY_BYTES = 32
ID_HEX_DIGITS = 16
# Public on purpose: it protects nothing, and gives the simulated studies the same ids everywhere.
PUBLIC_KEY = "73696d756c61746564207374756469657320686176652061207075626c6963206b6579"
# Longest token n-gram that identifiers are hashed and searched as.
MAX_NGRAM = 6

logger = logging.getLogger(__name__)

IdKind = Literal["study", "patient", "series", "scanner", "path", "token"]

_TOKEN = re.compile(r"[^\W\d_]+|\d+", re.UNICODE)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Token:
    """One normalised token and where it stands in the original text (code points)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class SiteKey:
    """Secret of one site, under which all its identifiers are hashed."""

    secret: bytes

    @classmethod
    def load(cls, path: Path, cohort: Path | None = None) -> SiteKey:
        """Read the key file of a site.

        Args:
            path: the key file.
            cohort: folder or file whose identifiers are to be hashed. Under the simulator's public key everybody
                can reverse a hash by trying names, so it is good for what was simulated beside it and nothing else.

        Raises:
            FileNotFoundError: if there is none; the message tells how to make one.
            ValueError: if the key holds fewer than 32 bytes of hex, or is public and the cohort is not simulated.
        """
        if not path.is_file():
            raise FileNotFoundError(
                f"site key {path} not found; make one with `make site-key KEY=/safe/place/site.key` "
                "and set cohort.site_key in params.yaml"
            )
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError:
            message = f"site key {path}: expected hexadecimal text; make a new one with `make site-key`"
            raise ValueError(message) from None
        if len(secret) < MIN_KEY_BYTES:
            raise ValueError(
                f"site key {path}: {len(secret)} bytes, expected at least {MIN_KEY_BYTES}; "
                "make a new one with `make site-key`"
            )
        if secret == bytes.fromhex(PUBLIC_KEY):
            _check_simulated(cohort, path)
        elif path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            logger.warning("site key %s can be read by others than its owner; run `chmod 600` on it", path)
        return cls(secret)

    @classmethod
    def ephemeral(cls) -> SiteKey:
        """Make a key that is never written: its ids are private and match no other run's."""
        return cls(secrets.token_bytes(MIN_KEY_BYTES))

    def hash(self, kind: IdKind, *parts: str) -> str:
        """Hash the parts of an identifier to 16 hex digits, separately for each kind (HMAC-SHA256)."""
        message = "\x1f".join((kind, *(part.strip() for part in parts)))
        # Names of files in another encoding than UTF-8 hold surrogates, which cannot be encoded.
        encoded = message.encode("utf-8", "backslashreplace")
        return hmac.new(self.secret, encoded, hashlib.sha256).hexdigest()[:ID_HEX_DIGITS]

    def study_id(self, accession_number: str) -> str:
        """Id of a study, from its accession number (StudyInstanceUID where there is none)."""
        return self.hash("study", accession_number)

    def patient_id(self, issuer: str, patient_id: str) -> str:
        """Id of a patient, from issuer and PatientID."""
        return self.hash("patient", issuer, patient_id)

    def series_id(self, *parts: str) -> str:
        """Id of a series, from its SeriesInstanceUID and what tells its parts apart."""
        return self.hash("series", *parts)

    def ngram_id(self, tokens: list[str]) -> str:
        """Hash of a normalised token n-gram, as ``identifiers.parquet`` holds it."""
        return self.hash("token", " ".join(tokens))


def write_new_key(path: Path) -> None:
    """Write a fresh random key, readable by its owner only.

    Raises:
        FileExistsError: if the file exists: a new key would change every id of the site.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; a new key would change every id, so it is left as it is")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    path.write_text(secrets.token_hex(MIN_KEY_BYTES) + "\n", encoding="ascii")


def tokenise(text: str) -> list[Token]:
    """Split text into the normalised tokens that identifiers are compared in.

    Words and digit runs, compatibility-normalised (NFKC) and case-folded, without punctuation;
    each Han character is a token of its own, since Chinese names carry no spaces.
    """
    tokens = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        pieces = (
            [(c, match.start() + i, match.start() + i + 1) for i, c in enumerate(word)]
            if _HAN.search(word)
            else [(word, match.start(), match.end())]
        )
        tokens += [Token(unicodedata.normalize("NFKC", t).casefold(), start, end) for t, start, end in pieces]
    return tokens


def is_han(token: str) -> bool:
    """Tell whether a token is a Han character."""
    return bool(_HAN.match(token))


def _check_simulated(cohort: Path | None, key: Path) -> None:
    """Check that a cohort lies in the folder of its public key, with links of folders followed.

    Raises:
        ValueError: if it does not.
    """
    if cohort is None:
        return
    # Not those of files: DVC may link them to its cache.
    place = cohort.resolve() if cohort.is_dir() else cohort.parent.resolve()
    if not place.is_relative_to(key.parent.resolve()):
        raise ValueError(
            f"site key {key} is the simulator's, which is public, but the cohort was not simulated beside it; "
            "make your own with `make site-key KEY=/safe/place/site.key` and set cohort.site_key in params.yaml"
        )
