"""What the shell completes: ids of runs, names of models, versions, aliases, datasets and judges.

It answers between two keystrokes, so it reads the registry's tables without the registry's code, whose
imports take longer than everything else, and never writes. Where anything fails, nothing is completed, and
nothing is said.
"""

from __future__ import annotations

import io
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stdout, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from core.settings import get_settings

NEWEST = 500
"""Runs that are offered."""
CONNECT_S = 1

Completion = tuple[str, str]
"""What is completed, and what a shell may say of it."""
Complete = Callable[[str], list[Completion]]

BREAKS = "@:="
"""Characters between which bash takes a word apart."""


def completes(*sources: Callable[[], Iterator[Completion]]) -> Complete:
    """A function for Typer's `autocompletion` that offers what some sources have.

    Args:
        sources: each gives completions; one that fails gives none. What two of them have is offered once.
    """

    def complete(incomplete: str) -> list[Completion]:
        found: dict[str, str] = {}
        for source in sources:
            with suppress(Exception):
                for name, about in source():
                    if name.startswith(incomplete):
                        found.setdefault(name, about)
        return list(found.items())

    return complete


def run_ids() -> Iterator[Completion]:
    """The newest runs."""
    newest = f"SELECT run_id, name, status FROM run ORDER BY id DESC LIMIT {NEWEST}"  # noqa: S608
    for run_id, name, status in _rows(newest):
        yield run_id, f"{name}, {status}"


def model_names() -> Iterator[Completion]:
    """Registered models."""
    for (name,) in _rows("SELECT name FROM registered_model ORDER BY name"):
        yield name, "registered model"


def versions() -> Iterator[Completion]:
    """NAME@ALIAS and NAME@vN."""
    for model, alias, number in _rows("SELECT model, name, version FROM alias ORDER BY model, name"):
        yield f"{model}@{alias}", f"v{number}"
    for model, number, run in _rows("SELECT model, number, run_id FROM model_version ORDER BY model, number"):
        yield f"{model}@v{number}", f"run {run}"


def aliases() -> Iterator[Completion]:
    """Names of aliases, of whatever model."""
    for (name,) in _rows("SELECT DISTINCT name FROM alias ORDER BY name"):
        yield name, "alias"


def models() -> Iterator[Completion]:
    """What a model may be called: built in, registered, or trained by a run."""
    yield "tiny-base", "built in"
    yield from versions()
    for run_id, about in run_ids():
        yield f"run:{run_id}", about


def judged_models() -> Iterator[Completion]:
    """Models that runs are of."""
    for (name,) in _rows("SELECT DISTINCT base_model FROM run ORDER BY base_model"):
        yield name, "model"


def datasets() -> Iterator[Completion]:
    """Built-in datasets, and files here that may be others."""
    from golden.datasets import built_in_names

    for name in built_in_names():
        yield name, "built in"
    for pattern in ("*.jsonl", "data/*.jsonl"):
        for path in sorted(Path().glob(pattern)):
            yield str(path), "file"


def judged_datasets() -> Iterator[Completion]:
    """Datasets that runs were judged on."""
    for key, version in _rows("SELECT key, version FROM dataset ORDER BY key, version"):
        yield f"{key}-{version}", "dataset"


def judges() -> Iterator[Completion]:
    """Installed judges."""
    for name in sorted({point.name for point in entry_points(group="hallmark.judges")}):
        yield name, "judge"


def words(*known: str) -> Complete:
    """Completes one of some words."""
    return completes(lambda: iter([(word, "") for word in known]))


def complete_for_bash(run: Callable[[], None]) -> None:
    """Answer bash, which takes `support@champion` apart and replaces only what follows the last `@`, `:` or
    `=`: put the word together for Typer, and leave out of its answers what is there already.

    Args:
        run: the command line, which answers on standard output and exits.
    """
    words = _rejoined(os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"]))
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    typed = words[-1].partition("=")[2] if re.match("--.*=", words[-1]) else words[-1]
    there = max(typed.rfind(character) for character in BREAKS) + 1
    answer = io.StringIO()
    with suppress(SystemExit), redirect_stdout(answer):
        run()
    sys.stdout.writelines(f"{line[there:]}\n" for line in answer.getvalue().splitlines() if line)


def _rejoined(words: list[str], current: int) -> list[str]:
    """The words up to the current one, without bash's breaks in them."""
    whole: list[str] = []
    glued = False
    for word in (*words, "")[: current + 1]:
        is_break = bool(word) and not word.strip(BREAKS)
        if len(whole) > 1 and (is_break or glued):
            whole[-1] += word
        else:
            whole.append(word)
        glued = is_break
    return whole


def _rows(query: str) -> list[tuple[Any, ...]]:
    """The rows of a query of the registry; none where there is no registry."""
    settings = get_settings()
    url = settings.registry_url or ""
    if url.startswith("postgres"):
        import psycopg

        address = re.sub(r"^\w+(\+psycopg)?:", "postgresql:", url)
        with psycopg.connect(address, connect_timeout=CONNECT_S) as server:
            return server.execute(query).fetchall()
    path = Path(re.sub(r"^sqlite(\+pysqlite)?:///", "", url) or settings.home / "registry.db").absolute()
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=CONNECT_S)) as database:
        return database.execute(query).fetchall()
