"""Templates, assets, and what every page has in common."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from core import __version__
from core.text import cut
from experiments.workspace import Workspace
from hallmark.ui.forms import TOKEN
from hallmark.ui.prepared import Prepared
from hallmark.ui.reviewer import reviewer_of
from registry import Registry
from registry.tables import AuditLog, PromotionLog
from reports import templating
from reports.tables import Table
from reports.templating import when

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
        verifying: the last verification, or the one that is going on.
        trainings: what the manifests of runs say of their training, by run id, as far as it was shown.
        reviewer: who looks at the page, where people review; None where they do not.
    """

    def __init__(self, workspace: Workspace, patience_s: float, csrf_token: str, review: bool) -> None:
        self.workspace = workspace
        self.prepared = Prepared(patience_s)
        self.verifying = Prepared(0.0)
        self.assets = assets()
        self.csrf_token = csrf_token
        self.trainings: dict[str, dict[str, Any]] = {}
        self.review = review
        self.reviewer: str | None = None
        self.templates = templating.environment([HERE / "templates"])
        self.templates.globals.update(
            menu=[*MENU, ("/review", "Review")] if review else list(MENU),
            hallmark_version=__version__,
            asset=lambda name: f"/assets/{name}?{self.assets[name].sha256[:12]}",
            csrf_field=self._csrf_field,
            with_query=with_query,
            reviewing=None,
        )
        self.templates.filters.update(
            zip_self=lambda names: [(name, name) for name in names],
            decision_cells=decision_cells,
            entry_cells=entry_cells,
            row_counts=lambda counts: [(table, f"{number:,}") for table, number in counts],
        )

    @property
    def registry(self) -> Registry:
        """What is recorded."""
        return self.workspace.registry

    def show(self, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        """A page. What a template is given is escaped, and its characters are visible ones."""
        found = self.templates.get_template(template).render(reviewer=self.reviewer, **values)
        return HTMLResponse(found.encode("utf-8", "replace"), status)

    def refuse(self, status: int, sentence: str) -> HTMLResponse:
        """A page that says why there is none."""
        return self.show("refused.html", status, code=status, sentence=sentence, here="")

    def _csrf_field(self) -> Markup:
        return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN, self.csrf_token)


def _pages(request: Request) -> Pages:
    """The pages for whoever asks."""
    found: Pages = request.app.state.pages
    if not found.review:
        return found
    own = copy(found)
    own.reviewer = reviewer_of(request.cookies)
    return own


ThePages = Annotated[Pages, Depends(_pages)]
"""A route's argument of this type is the `Pages` of its application."""


def linked(table: Table, query: Mapping[str, object]) -> Table:
    """A table of a report whose links set the filter of this page instead of the report's.

    Args:
        table: from `reports.tables`.
        query: of the page, without the filter.
    """
    said = urlencode([(name, value) for name, value in query.items() if value])
    begin = Markup('href="?{}').format(f"{said}&" if said else "")

    def cell(text: str) -> str:
        if not isinstance(text, Markup):
            return text
        return Markup(LINK.sub(lambda found: f'{begin}{found[1]}#items"', text))  # noqa: S704 - made of Markup

    return table._replace(rows=[[cell(each) for each in row] for row in table.rows])


LINK = re.compile(r'href="#([^"]*)"')


def with_query(path: str, query: Mapping[str, object], **changes: object) -> str:
    """An address with a query. What is None, False or empty is left out.

    Example:
        >>> with_query("/runs", {"kind": "trained", "text": ""}, after=None, sort="score")
        '/runs?kind=trained&sort=score'
    """
    merged = {**query, **changes}
    said = [(name, value) for name, value in merged.items() if value not in (None, False, "")]
    return f"{path}?{urlencode(said, doseq=True)}" if said else path


def decision_cells(rows: Sequence[PromotionLog]) -> list[tuple[str, ...]]:
    """Decisions as the cells of a table: number, when, what was done, alias, by whom, why."""
    return [
        (
            str(row.id),
            together(when(row.created_at)),
            together(row.action + (f" to v{row.to_version}" if row.to_version is not None else "")),
            together(f"{row.model}@{row.alias}"),
            row.actor,
            cut(row.reason, REASON),
        )
        for row in rows
    ]


def together(text: str) -> Markup:
    """A text that stays in one line."""
    return Markup('<span class="together">{}</span>').format(text)


def entry_cells(rows: Sequence[AuditLog]) -> list[tuple[str, ...]]:
    """Entries of the audit log as the cells of a table."""
    return [
        (
            str(row.id),
            together(when(row.created_at)),
            together(row.table_name),
            cut(row.row_key, 80),
            together(f"{row.hash[:16]}…"),
        )
        for row in rows
    ]


REASON = 2000
"""Characters of a reason in a table."""
