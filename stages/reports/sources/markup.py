"""Plain text out of what reports are wrapped in: HTML, RTF and PDF. Images of pages are not read."""

from __future__ import annotations

import io
import logging
import re
from html.parser import HTMLParser

from stages.reports.sources.encodings import decode

#: Parts of a report's envelope that are no text.
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


def text_of(data: bytes, encoding: str | None = None) -> str | None:
    """Text of an attachment, told by its first bytes.

    Args:
        data: plain text, HTML, RTF or PDF.
        encoding: of plain text and HTML; ``None``: told apart.

    Returns:
        The text; ``None`` if it cannot be read, or is a PDF that holds no text.
    """
    if len(data) > _MAX_BYTES:
        return None
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return _of_pdf(data)
    return plain_text(decode(data, encoding))


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
