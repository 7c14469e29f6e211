"""Somebody else's text, and pictures, in Prefect's pages."""

from __future__ import annotations

import base64

from core.text import cut
from reports.markdown import code

SHOWN_TEXT = 160
"""Characters of somebody else's text in a table."""
SHOWN_ANSWER = 600
"""Characters of what a model wrote, and of what it was asked."""


def text_cell(text: str) -> str:
    """Somebody else's text, such as a prediction, as a table cell: one line, cut, and without any power over
    the page.
    """
    return code(cut(" ".join(text.split()), SHOWN_TEXT))


def whole_text(text: str) -> str:
    """The same where it has a line of its own, so that more of it has room."""
    return code(cut(" ".join(text.split()), SHOWN_ANSWER)) or "nothing"


def picture(svg: bytes, description: str) -> str:
    """An SVG inside the page itself."""
    return f"![{description}](data:image/svg+xml;base64,{base64.b64encode(svg).decode()})"
