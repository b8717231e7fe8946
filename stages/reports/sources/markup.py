"""Plain text out of what reports are wrapped in: HTML, RTF and PDF. Images of pages are not read."""

from __future__ import annotations

import io
import logging
import re
from html.parser import HTMLParser

from stages.reports.sources.encodings import decode, encoding_of

#: Stands for a text in an unknown encoding.
FOREIGN = "\ufffd"

# Attachments above it, and pages after these, are not read.
_MAX_BYTES = 1 << 26
_MAX_PAGES = 50
_TAG = re.compile(
    r"</?(?:html|body|p|br|div|span|b|i|u|strong|em|table|tr|td|ul|ol|li|h[1-6]|pre|font)(?:\s[^<>]*)?/?>", re.I
)
_BLOCKS = frozenset(
    {"p", "br", "div", "tr", "li", "table", "ul", "ol", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "body", "hr"}
)
_SILENT = frozenset({"script", "style", "head", "title"})
# Page breaks and their like; other control characters tell of a broken encoding.
_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\u2028\u2029]")


def plain_text(text: str | None) -> str | None:
    """Text without HTML or RTF, with line breaks as newlines; ``None`` if it is RTF that cannot be read."""
    if text is None:
        return None
    if text.lstrip().startswith("{\\rtf"):
        return _of_rtf(text)
    if _TAG.search(text):
        text = _of_html(text)
    return _BREAKS.sub("\n", text)


def text_of(data: bytes, *encodings: str | None) -> str | None:
    """Text of an attachment, told by its first bytes.

    Args:
        data: plain text, HTML, RTF or PDF.
        encodings: of plain text and HTML, the first that fits counts; ``None``, or none: told apart.

    Returns:
        The text; ``None`` if it cannot be read, or is a PDF that holds no text.
    """
    if len(data) > _MAX_BYTES:
        return None
    if _is_pdf(data):
        return _of_pdf(data)
    texts = (decode(data, encoding) for encoding in encodings or (None,))
    return plain_text(next((text for text in texts if text is not None), None))


def attached_text(data: bytes, *encodings: str | None) -> str | None:
    """Like ``text_of``; ``FOREIGN`` for plain text in none of the encodings."""
    text = text_of(data, *encodings)
    return FOREIGN if text is None and not is_opaque(data) else text


def is_opaque(data: bytes) -> bool:
    """Whether it is not for its encoding that data cannot be read: it is large, PDF, RTF or binary."""
    is_binary = b"\0" in data[:4096] and not encoding_of(data[:4096]).startswith("utf-16")
    return len(data) > _MAX_BYTES or _is_pdf(data) or data.lstrip().startswith(b"{\\rtf") or is_binary


def _is_pdf(data: bytes) -> bool:
    return data[:1024].lstrip().startswith(b"%PDF-")


class _Text(HTMLParser):
    """Collects the text of an HTML document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._num_silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._num_silent += tag in _SILENT
        if tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag in {"td", "th"}:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._num_silent -= tag in _SILENT and self._num_silent > 0
        if tag in _BLOCKS - {"br", "hr"}:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._num_silent:
            self.pieces.append(data)


def _of_html(text: str) -> str:
    parser = _Text()
    parser.feed(text)
    parser.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(parser.pieces).replace("\xa0", " ")).strip()


def _of_rtf(text: str) -> str | None:
    from striprtf.striprtf import rtf_to_text

    try:
        return _BREAKS.sub("\n", rtf_to_text(text, errors="strict"))
    except Exception:  # noqa: BLE001 - a hostile document may raise anything; it costs one report
        return None


def _of_pdf(data: bytes) -> str | None:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings quote the document
    try:
        pages = PdfReader(io.BytesIO(data)).pages[:_MAX_PAGES]
        text = "\n".join(page.extract_text() for page in pages)
    except Exception:  # noqa: BLE001 - a hostile document may raise anything; it costs one report
        return None
    return _BREAKS.sub("\n", text) if text.strip() else None
