"""Finding judges by entry point (group `hallmark.judges`, name `NAME@vN`)."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from core.errors import HallmarkError, InputError
from judges.base import Judge
from judges.fingerprint import judge_fingerprint, library_versions

GROUP = "hallmark.judges"
REFERENCE = re.compile(r"(?P<name>[a-z0-9_]+)@(?P<version>v[1-9][0-9]*)", re.ASCII)


class JudgeInfo(BaseModel):
    """An installed judge, as `hallmark judges list` shows it.

    Attributes:
        judge: as NAME@vN.
        package: the installed package that brings it, with its version.
        fingerprint: sha256 of its code; None where it cannot be used.
        libraries: versions of the libraries that the fingerprint covers.
        description: first line of the class's docstring.
        error: why it cannot be used here; None where it can.
    """

    judge: str
    package: str
    fingerprint: str | None = None
    libraries: dict[str, str] = {}
    description: str = ""
    error: str | None = None


def available_judges() -> list[str]:
    """The installed judges, as NAME@vN."""
    return sorted(_points())


def list_judges() -> list[JudgeInfo]:
    """Every installed judge, also those that cannot be used, with the reason."""
    return [_info(reference, point) for reference, point in sorted(_points().items())]


def load_judge(reference: str) -> Judge:
    """Load a judge.

    Args:
        reference: as in answer_correctness@v1.

    Raises:
        InputError: not of that form, no such judge, no such version, or the plug-in cannot be loaded or is no
            judge; lists what there is.
        ResourceError: a library that the judge needs is not installed.

    Example:
        >>> judge = load_judge("answer_correctness@v1")
        >>> judge.name, judge.version
        ('answer_correctness', 'v1')
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(
            f"judge {reference!r}: expected NAME@vN, as in answer_correctness@v1. "
            f"Available: {', '.join(available_judges())}."
        )
    points = _points()
    if reference not in points:
        versions = [name for name in points if name.partition("@")[0] == match["name"]]
        known = (
            f"{match['name']} has no version {match['version']}"
            if versions
            else f"there is no judge {match['name']}"
        )
        raise InputError(f"judge {reference}: {known}. Available: {', '.join(sorted(versions or points))}.")
    plugin = f"judge {reference}: its plug-in {points[reference].value} ({_package(points[reference])})"
    try:
        judge = points[reference].load()()
    except HallmarkError:
        raise
    except Exception as error:
        raise InputError(f"{plugin} cannot be loaded: {type(error).__name__}: {error}") from error
    if problem := _misshapen(judge, match["name"], match["version"]):
        raise InputError(
            f"{plugin} is no judge: {problem}. A judge has name, version and score(item, prediction)."
        )
    loaded: Judge = judge
    library_versions(loaded)
    return loaded


def _points() -> dict[str, metadata.EntryPoint]:
    points: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        known = points.setdefault(point.name, point)
        if known.value != point.value:
            raise InputError(
                f"judge {point.name} is brought by two packages, {_package(known)} and {_package(point)}. "
                "Uninstall one of them."
            )
    return points


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"


def _misshapen(judge: Any, name: str, version: str) -> str | None:
    """What keeps an object from being the judge of this name; None where nothing does."""
    for attribute, expected in (("name", name), ("version", version)):
        if getattr(judge, attribute, None) != expected:
            return f"its {attribute} is {getattr(judge, attribute, None)!r}, expected {expected!r}"
    try:
        inspect.signature(judge.score).bind(None, "")
    except (AttributeError, TypeError, ValueError) as error:
        return f"score cannot be called with an item and a prediction: {error}"
    libraries = getattr(judge, "libraries", ())
    if isinstance(libraries, str) or not all(isinstance(library, str) for library in libraries):
        return "its libraries are not names of packages"
    return None


def _info(reference: str, point: metadata.EntryPoint) -> JudgeInfo:
    info = JudgeInfo(judge=reference, package=_package(point))
    try:
        judge = load_judge(reference)
        info.fingerprint, info.libraries = judge_fingerprint(judge), library_versions(judge)
    except HallmarkError as error:
        info.error = str(error)
        return info
    info.description = (inspect.getdoc(type(judge)) or "").partition("\n")[0]
    return info
