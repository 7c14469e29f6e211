"""Finding judges by entry point (group `hallmark.judges`, name `NAME@vN`)."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import metadata

from hallmark.errors import InputError
from hallmark.files import sha256_bytes
from judges.base import Judge

GROUP = "hallmark.judges"
REFERENCE = re.compile(r"(?P<name>[a-z0-9_]+)@(?P<version>v[1-9][0-9]*)", re.ASCII)


def available_judges() -> list[str]:
    """The installed judges, as NAME@vN."""
    return sorted(point.name for point in metadata.entry_points(group=GROUP))


def load_judge(reference: str) -> Judge:
    """Load a judge.

    Args:
        reference: as in answer_correctness@v1.

    Raises:
        InputError: not of that form, no such judge, no such version, or the plug-in cannot be loaded; lists what there is.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(f"judge {reference!r}: expected NAME@vN, as in answer_correctness@v1. Available: {', '.join(available_judges())}.")
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if reference not in points:
        versions = [name for name in points if name.partition("@")[0] == match["name"]]
        known = f"{match['name']} has no version {match['version']}" if versions else f"there is no judge {match['name']}"
        raise InputError(f"judge {reference}: {known}. Available: {', '.join(sorted(versions or points))}.")
    try:
        judge: Judge = points[reference].load()()
    except Exception as error:
        raise InputError(
            f"judge {reference}: its plug-in {points[reference].value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return judge


def judge_fingerprint(judge: Judge) -> str:
    """The sha256 of a judge's module as Python understands it: comments, docstrings and layout do not count.

    Raises:
        InputError: the source is not to be had, so nobody could tell whether it changed.
    """
    try:
        source = inspect.getsource(sys.modules[type(judge).__module__])
    except (OSError, TypeError) as error:
        raise InputError(
            f"judge {judge.name}@{judge.version}: its source cannot be read, so it cannot be fingerprinted: {error}"
        ) from error
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return sha256_bytes(ast.unparse(tree).encode())


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        node.body[0] = ast.Pass()
