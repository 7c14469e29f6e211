"""The application: its routes, its errors as pages, and the guard around it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import RedirectResponse, Response

from core.errors import HallmarkError, InputError, IntegrityError
from experiments.workspace import Workspace
from hallmark.ui import comparing, models, nights, runs, state, training
from hallmark.ui import review as reviewing
from hallmark.ui.guard import Guard
from hallmark.ui.pages import Pages, ThePages
from hallmark.ui.prepared import StillPreparing

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PATIENCE_S = 0.2
"""How long a page waits for what it shows, in seconds, before it says that this is being prepared."""


def create_app(
    workspace: Workspace,
    review: bool = False,
    *,
    hosts: Sequence[str] = LOOPBACK,
    sign_in: str | None = None,
    patience_s: float = PATIENCE_S,
) -> FastAPI:
    """The pages on a workspace's registry. They change nothing but, with `review`, what reviewers say.

    Args:
        workspace: what is shown.
        review: let people say what is wrong with golden items.
        hosts: names that browsers reach it by, without port.
        sign_in: "user:password" that is asked for; None for none.
        patience_s: how long a page waits for what it shows, in seconds.

    Example:
        >>> from starlette.testclient import TestClient
        >>> TestClient(create_app(open_workspace()), base_url="http://localhost").get("/runs").status_code
        200
    """
    app = FastAPI(title="Hallmark", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.csrf_token = secrets.token_urlsafe(24)
    app.state.pages = pages = Pages(workspace, patience_s, app.state.csrf_token, review)
    _add_errors(app, pages)
    _add_routes(app, review)
    app.add_middleware(partial(Guard, hosts=hosts, sign_in=sign_in, refuse=pages.refuse))
    return app


ROUTERS = (
    runs.router,
    comparing.router,
    models.router,
    nights.router,
    training.router,
    state.router,
)


def _add_routes(app: FastAPI, review: bool) -> None:
    for router in ROUTERS:
        app.include_router(router)
    if review:
        reviewing.add_to(app, app.state.pages)

    @app.get("/")
    def first() -> Response:
        return RedirectResponse("/runs", 307)

    @app.get("/assets/{name}")
    def asset(name: str, pages: ThePages) -> Response:
        if (found := pages.assets.get(name)) is None:
            raise HTTPException(404, "There is no such file.")
        return Response(found.content, media_type=found.media_type)


def _add_errors(app: FastAPI, pages: Pages) -> None:
    @app.exception_handler(StarletteHTTPException)
    def refused(_request: Request, error: StarletteHTTPException) -> Response:
        sentence = "There is no such page." if error.detail == "Not Found" else str(error.detail)
        return pages.refuse(error.status_code, sentence)

    @app.exception_handler(RequestValidationError)
    def not_valid(_request: Request, error: RequestValidationError) -> Response:
        said = [f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors()]
        return pages.refuse(400, "; ".join(said)[:500])

    @app.exception_handler(HallmarkError)
    def known(_request: Request, error: HallmarkError) -> Response:
        status = 400 if isinstance(error, InputError) else 500 if isinstance(error, IntegrityError) else 503
        return pages.refuse(status, str(error))

    @app.exception_handler(StillPreparing)
    def preparing(_request: Request, found: StillPreparing) -> Response:
        answer = pages.show("preparing.html", 202, what=found.what, here="")
        answer.headers["Refresh"] = "1"
        return answer
