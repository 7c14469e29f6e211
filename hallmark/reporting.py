"""A report where it is read: a file, the summary of a job, a comment on a pull request, standard output."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit

from core.errors import InputError
from core.progress import announce
from hallmark.github import actions
from hallmark.github.comment import NotPosted, PullRequest, put_comment
from registry import Registry
from reports.document import Report
from reports.examples import examples
from reports.formats import Wanted, form, write_report
from reports.github import COMMENT_BYTES, github_markdown, marker

STANDARD_OUTPUT = Path("-")


def parsed_links(given: list[str] | None) -> dict[str, str]:
    """Links as they are typed, NAME=URL, after that to this run of a workflow, where it is one.

    Raises:
        InputError: not a plain name, or not an http address.

    Example:
        >>> parsed_links(["report=https://ci.example/artifacts/1"])
        {'report': 'https://ci.example/artifacts/1'}
    """
    found = {}
    for each in given or ():
        name, _, url = each.partition("=")
        if not re.fullmatch(r"\w[\w ]{0,59}", name) or not _is_address(url):
            raise InputError(f"--link {each}: expected NAME=URL, as in report=https://ci.example/report.html")
        found[name] = quote(url, safe="/:?#[]@!$&'*+,;=%~-._")
    return {**found, **actions.run_links()}


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def is_printed(form_name: str, path: Path | None) -> bool:
    """Whether a report goes to standard output: where that is asked for, and where no file is named, but for
    a page, which always is a file, and GitHub's Markdown in a job, whose summary takes it.
    """
    if path is not None or form_name == "html":
        return path == STANDARD_OUTPUT
    return form_name != "github" or actions.summary_file() is None


def deliver(
    report: Report, registry: Registry, form_name: str, path: Path | None, force: bool, wanted: Wanted
) -> Path | None:
    """Put a report where it belongs; see `is_printed`.

    Args:
        report: of one run or two.
        registry: holds the items.
        form_name: a key of `reports.formats.FORMATS`.
        path: the file; None for the default.
        force: replace a file that is no report.
        wanted: what it has beside the report itself.

    Returns:
        The file; None for standard output.

    Raises:
        InputError: the form is unknown, or the file is something else.
        ResourceError: it cannot be written.
    """
    chosen = form(form_name)
    if is_printed(form_name, path):
        chosen.write(report, registry, wanted, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return None
    summary = actions.summary_file()
    if path is not None or form_name != "github" or summary is None:
        return write_report(report, registry, path, form_name, force, wanted)
    text = BytesIO()
    chosen.write(report, registry, replace(wanted, limit=actions.summary_room(summary)), text)
    actions.append_summary(summary, text.getvalue())
    return summary


def comment_on(
    report: Report, registry: Registry, wanted: Wanted, number: int | None, required: bool
) -> str | None:
    """Put a report on a pull request, as one comment that later ones replace.

    Args:
        report: of one run or two.
        registry: holds the items.
        wanted: its links.
        number: of the pull request; None for the one that this job is about.
        required: whether it is an error that there is no comment. Else that is said.

    Returns:
        The comment's URL; None where there is none.

    Raises:
        InputError: the environment names no repository or no token.
        NotPosted: there is none, and it was required.
    """
    if (number := number or actions.pull_request()) is None:
        why = "this job is about no pull request. --pull-request N names one."
        if required:
            raise NotPosted(why)
        announce("comment:", f"none: {why}")
        return None
    where = PullRequest.of_job(number)
    text = github_markdown(report, examples(report, registry), COMMENT_BYTES, wanted.links)
    try:
        return put_comment(where, marker(report), text)
    except NotPosted as error:
        if required:
            raise
        announce("comment:", f"none: {error}")
        actions.annotate("warning", "no comment on the pull request", str(error))
        return None


def annotate(report: Report, failing: bool) -> None:
    """Show the decision above the job, as an error where the job fails for it."""
    decided = report.decided
    reason = f". {decided.reasons[0]}" if decided and decided.reasons else ""
    refused = decided is not None and decided.outcome == "refused"
    level: actions.Level = "error" if failing else "warning" if refused else "notice"
    actions.annotate(level, "Hallmark", report.headline + reason)
