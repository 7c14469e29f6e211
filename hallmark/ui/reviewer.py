"""Who reviews: a name that a person gave, kept in a cookie of their browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from starlette.responses import Response

from core.errors import InputError
from experiments.promoting import actor
from registry.reviews import checked_reviewer

COOKIE = "hallmark_reviewer"
KEPT_S = 365 * 24 * 3600
"""How long a browser keeps a name, in seconds."""


def reviewer_of(cookies: Mapping[str, str]) -> str:
    """The name in the cookies of a browser; the user that runs this server where there is none."""
    try:
        return checked_reviewer(unquote(cookies.get(COOKIE, ""), errors="strict"))
    except (InputError, UnicodeDecodeError):
        return actor()


def keep_reviewer(answer: Response, name: str) -> None:
    """Have a browser keep a name; an empty one is forgotten.

    Raises:
        InputError: it is no name.
    """
    if name := name.strip():
        value = quote(checked_reviewer(name), safe="")
        answer.set_cookie(COOKIE, value, max_age=KEPT_S, httponly=True, samesite="strict")
    else:
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
