"""What a form of ours sends. A token shows that the page it is on was ours, beside what `guard` looks at."""

from __future__ import annotations

import hmac
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request

TOKEN = "csrf_token"  # noqa: S105 - the name of a field
MOST_FIELDS = 1_000
FORM_TYPE = "application/x-www-form-urlencoded"


class Form(dict[str, str]):
    """The fields of a form that was sent from one of our pages; of several with one name the last."""


async def posted(request: Request) -> Form:
    """The form of a POST request, whose token is right.

    In a template `{{ csrf_field() }}` puts the token into a form; a route asks for what was sent by an
    argument `form: Posted`.

    Raises:
        HTTPException: 400 for what is no form, or holds the character NUL; 403 for one without our token.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise HTTPException(400, "A form was expected.")
    try:
        text = (await request.body()).decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
    if any("\0" in part for pair in fields for part in pair):
        raise HTTPException(400, "The form holds the character NUL.")
    form = Form(fields)
    expected: str = request.app.state.csrf_token
    if not hmac.compare_digest(form.pop(TOKEN, "").encode(), expected.encode()):
        raise HTTPException(
            403, "The page that this form was on is from before the server started. Go back, load it again."
        )
    return form


Posted = Annotated[Form, Depends(posted)]
