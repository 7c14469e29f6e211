"""Templates, assets, and what every page has in common."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from core import __version__
from experiments.workspace import Workspace
from hallmark.ui.forms import TOKEN
from hallmark.ui.prepared import Prepared
from registry import Registry
from reports import templating

HERE = Path(__file__).parent
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

MENU = (
    ("/runs", "Runs"),
    ("/compare", "Compare"),
    ("/models", "Models"),
    ("/nights", "Nights"),
    ("/training", "Training curves"),
    ("/under-way", "Under way"),
    ("/integrity", "Integrity"),
)


class Asset:
    """A file that pages load, as it is in this version of Hallmark."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.media_type = TYPES[path.suffix]
        self.sha256 = hashlib.sha256(self.content).hexdigest()


def assets() -> dict[str, Asset]:
    """Name -> file, of all that our pages and reports load. Nothing else is ever served from a disk."""
    files = [each for folder in (templating.ASSETS, HERE / "assets") for each in sorted(folder.iterdir())]
    return {path.name: Asset(path) for path in files if path.suffix in TYPES}


class Pages:
    """What a route makes its page with.

    Attributes:
        workspace: whose registry is shown.
        prepared: what takes longer than a page may.
    """

    def __init__(self, workspace: Workspace, patience_s: float, csrf_token: str, review: bool) -> None:
        self.workspace = workspace
        self.prepared = Prepared(patience_s)
        self.assets = assets()
        self.csrf_token = csrf_token
        self.templates = templating.environment([HERE / "templates"])
        self.templates.globals.update(
            menu=[*MENU, ("/review", "Review")] if review else list(MENU),
            version=__version__,
            asset=lambda name: f"/assets/{name}?{self.assets[name].sha256[:12]}",
            csrf_field=self._csrf_field,
            with_query=with_query,
        )
        self.templates.filters.update(time=short_time)

    @property
    def registry(self) -> Registry:
        """What is recorded."""
        return self.workspace.registry

    def show(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page. What a template is given is escaped, and its characters are visible ones."""
        found = self.templates.get_template(template).render(**values)
        return HTMLResponse(found.encode("utf-8", "replace"), status)

    def refuse(self, status: int, sentence: str) -> HTMLResponse:
        """A page that says why there is none."""
        return self.show("refused.html", status, code=status, sentence=sentence, here="")

    def _csrf_field(self) -> Markup:
        return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN, self.csrf_token)


def _pages(request: Request) -> Pages:
    found: Pages = request.app.state.pages
    return found


ThePages = Annotated[Pages, Depends(_pages)]
"""A route's argument of this type is the `Pages` of its application."""


def with_query(path: str, query: Mapping[str, object], **changes: object) -> str:
    """An address with a query. What is None, False or empty is left out.

    Example:
        >>> with_query("/runs", {"kind": "trained", "text": ""}, after=None, sort="score")
        '/runs?kind=trained&sort=score'
    """
    merged = {**query, **changes}
    said = [(name, value) for name, value in merged.items() if value not in (None, False, "")]
    return f"{path}?{urlencode(said, doseq=True)}" if said else path


def short_time(text: str | None) -> str:
    """A recorded time to the second, in UTC.

    Example:
        >>> short_time("2026-11-26T14:15:31.031822+00:00")
        '2026-11-26 14:15:31'
    """
    return "" if text is None else text[:19].replace("T", " ")
