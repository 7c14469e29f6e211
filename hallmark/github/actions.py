"""What a job of GitHub Actions tells a command by its environment, and what it takes from it.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions and .../variables
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Literal

from core.errors import InputError, ResourceError
from core.files import raise_for_os_error
from core.text import visible
from reports.github import SMALLEST_BYTES, SUMMARY_BYTES

Level = Literal["notice", "warning", "error"]


def in_actions() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def summary_file() -> Path | None:
    """The file that becomes the summary of this step; None outside of a job."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(path) if path else None


def summary_room(path: Path) -> int:
    """Bytes that the summary of this step may still have.

    Raises:
        InputError: what is there already leaves none.
    """
    room = SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0) - 2
    if room < SMALLEST_BYTES:
        raise InputError(
            f"the summary of this step is full ({SUMMARY_BYTES:,} bytes). Report in a step of its own."
        )
    return room


def append_summary(path: Path, text: bytes) -> None:
    """Put a text below what the summary of this step has already.

    Raises:
        ResourceError: it cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write((b"\n\n" if file.tell() else b"") + text)
    except OSError as error:
        raise_for_os_error(error, path)


def annotation(level: Level, title: str, message: str) -> str:
    """The line of a log that GitHub shows above the job, on the run's page.

    Example:
        >>> annotation("error", "gate", "50 % worse")
        '::error title=gate::50 %25 worse'
    """
    escaped = visible(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={escaped}::{visible(message).replace('%', '%25')}"


def annotate(level: Level, title: str, message: str) -> None:
    """Write it to standard error, which GitHub reads as well; nothing outside of a job."""
    if in_actions():
        sys.stderr.write(annotation(level, title, message) + "\n")


def run_links() -> dict[str, str]:
    """The page of this run of the workflow, by its name; nothing outside of a job."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name) for name in names)
    return (
        {"workflow run": f"{server}/{repository}/actions/runs/{run}"} if server and repository and run else {}
    )


def pull_request() -> int | None:
    """The number of the pull request that this job is about; None where it is about none.

    Raises:
        ResourceError: the event's file cannot be read.
    """
    path = os.environ.get("GITHUB_EVENT_PATH")
    if path:
        try:
            event = json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise ResourceError(f"{path}, the event of this job, cannot be read: {error}") from None
        issue = event.get("issue") or {}
        found = event.get("pull_request") or (issue if "pull_request" in issue else {})
        if isinstance(number := found.get("number"), int):
            return number
    match = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
    return int(match[1]) if match else None
