"""Texts of models as parts of pages: escaped, and nothing in them unseen."""

from __future__ import annotations

import html
import re

_NOT_XML = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


def title_text(text: str) -> str:
    """Escaped, for a page's title and for tooltips; what XML cannot carry becomes a space."""
    return _NOT_XML.sub(" ", html.escape(text))


def visible(text: str) -> str:
    """Escaped, and without a character that would not be seen (controls, marks that turn the direction of writing)."""
    return "".join(
        html.escape(char) if char in "\n\t " or char.isprintable() else f"<i>{html.escape(ascii(char)[1:-1])}</i>"
        for char in text
    )
