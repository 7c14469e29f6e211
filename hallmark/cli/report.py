"""`hallmark report`: one run, or two side by side, as a file to read and to pass on, and for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import InputError
from hallmark import api
from hallmark.cli.completing import completes, run_ids, words
from hallmark.cli.terminal import Json, RunId, emit, out, relative
from hallmark.progress import err

CI = "In CI"


def report(
    run: RunId,
    candidate: Annotated[
        str | None,
        typer.Argument(
            metavar="CANDIDATE",
            help="What is compared with the first run, the baseline.",
            show_default=False,
            autocompletion=completes(run_ids),
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="- is standard output. Default: for html a file in the working directory, named after the "
            "runs; for github the summary of the job, where there is one; else standard output.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            help="html: a page that needs nothing else. github: Markdown. junit: a test case per requirement "
            "and limit. json: everything.",
            autocompletion=words("html", "github", "junit", "json"),
        ),
    ] = "html",
    items: Annotated[
        bool, typer.Option("--items", help="junit and json: every item too. A page has them anyway.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,
    comment: Annotated[
        bool,
        typer.Option(
            "--comment",
            help="Also put it on the pull request, as one comment that is updated. Needs GITHUB_TOKEN.",
            rich_help_panel=CI,
        ),
    ] = False,
    pull_request: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Which. Default: the one of this job.", rich_help_panel=CI),
    ] = None,
    fail_without_comment: Annotated[
        bool,
        typer.Option(
            "--fail-without-comment", help="Exit with 4 when there can be no comment.", rich_help_panel=CI
        ),
    ] = False,
    link: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL", help="A link at the end, as to the page. Repeatable.", rich_help_panel=CI
        ),
    ] = None,
    fail_unless_promoted: Annotated[
        bool,
        typer.Option(
            "--fail-unless-promoted",
            help="Exit with 5 when the gate said no, or was not asked.",
            rich_help_panel=CI,
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Write a report: the decision, what got worse and why, and every item with its texts.

    One RUN alone, or BASELINE CANDIDATE, as `hallmark compare` takes them.
    """
    from hallmark import reporting
    from reports.formats import Wanted

    if json and reporting.is_printed(format, path):
        raise InputError("--json says where the report is, but it is printed. Name a file: -o PATH")
    wanted = Wanted(items=items, links=reporting.parsed_links(link))
    found, registry = api.report_document(run, *([candidate] if candidate else []))
    refused = found.decided is None or found.decided.outcome == "refused"
    failing = fail_unless_promoted and refused
    written = reporting.deliver(found, registry, format, path, force, wanted)
    if format == "github":
        reporting.annotate(found, failing)
    posted = None
    if comment:
        posted = reporting.comment_on(found, registry, wanted, pull_request, fail_without_comment)
    if json:
        emit({"path": str(written.absolute()) if written else None, "comment": posted})
    else:
        for where in (written and relative(written), posted):
            if where:
                (out if written else err).print(where, markup=False, soft_wrap=True)
    if failing:
        raise typer.Exit(5)
