"""The templates and files that reports and served pages are made from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.text import counted, visible, visible_lines
from evaluation.numbers import p_text, percent, points
from reports.markdown import CODED

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
TEMPLATES = HERE / "templates"


def environment(folders: Sequence[Path] = ()) -> Environment:
    r"""Where templates are looked for. Whatever they are given is escaped, and its characters are visible
    ones; a name that they are not given is an error.

    Args:
        folders: of more templates, which come first.

    Example:
        >>> environment().from_string("{{ text }}").render(text="<b>safe\u202egpj.exe")
        '&lt;b&gt;safe⟨U+202E⟩gpj.exe'
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {"percent": percent, "points": points, "p_text": p_text, "visible": visible}
    found.filters.update(
        {**shown, "sentence": sentence, "when": when, "capitalised": capitalised, "counted": counted}
    )
    return found


def when(moment: str | None) -> str:
    """A recorded time as a person reads it.

    Example:
        >>> when("2026-11-26T14:15:31.031822+00:00"), when(None)
        ('2026-11-26 14:15 UTC', 'not recorded')
    """
    if moment is None:
        return "not recorded"
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def sentence(text: str) -> Markup:
    """A sentence of ours, with what it marks as code between backticks as such.

    Example:
        >>> sentence("Look: `hallmark status`.")
        Markup('Look: <code>hallmark status</code>.')
    """
    from markupsafe import Markup, escape

    shown = str(escape(visible_lines(text)))
    return Markup(re.sub(CODED, r"\1<code>\2</code>\3", shown))  # noqa: S704 - it is escaped


def capitalised(sentence: str) -> str:
    """A sentence that begins with a capital; the rest stays as it is."""
    return sentence[:1].upper() + sentence[1:]


def _shown(value: object) -> object:
    """Text that is not markup with a name for each character that could hide something."""
    return visible_lines(value) if type(value) is str else value


@lru_cache
def asset(name: str) -> str:
    """The text of a file of `assets/`."""
    return (ASSETS / name).read_text(encoding="utf-8")
