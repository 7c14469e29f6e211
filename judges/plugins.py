"""Finding judges by entry point (group `hallmark.judges`, name `NAME@vN`), and giving them parameters."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from core.errors import HallmarkError, InputError
from core.judge_reference import ParsedJudge, parse_judge
from core.suggestions import did_you_mean
from judges.base import Judge, judge_parameters
from judges.fingerprint import fingerprint_of, library_versions

GROUP = "hallmark.judges"
_READABLE = {"text": "text", "log_probs": "log-probabilities"}


class ParameterInfo(BaseModel):
    """A parameter of a judge.

    Attributes:
        name: as it is given.
        type: what it takes, in words of JSON.
        default: its value when it is not given; None for one that must be given.
        required: whether it must be given.
        help: what it means.
    """

    name: str
    type: str
    default: Any = None
    required: bool
    help: str


class JudgeInfo(BaseModel):
    """An installed judge, as `hallmark judges list` shows it.

    Attributes:
        judge: as NAME@vN.
        package: the installed package that brings it, with its version.
        fingerprint: sha256 of its code, with default parameters; None where it cannot be used.
        libraries: versions of the libraries that the fingerprint covers.
        description: first line of the class's docstring.
        specification: what it does, in full: the docstring of its module.
        parameters: what it can be given.
        error: why it cannot be used here; None where it can.
    """

    judge: str
    package: str
    fingerprint: str | None = None
    libraries: dict[str, str] = {}
    description: str = ""
    specification: str = ""
    parameters: list[ParameterInfo] = []
    error: str | None = None


def available_judges() -> list[str]:
    """The installed judges, as NAME@vN."""
    return sorted(_points())


def list_judges() -> list[JudgeInfo]:
    """Every installed judge, also those that cannot be used, with the reason."""
    return [_info(reference, point) for reference, point in sorted(_points().items())]


def describe_judges(name: str) -> list[JudgeInfo]:
    """An installed judge by its NAME@vN, or all versions of a NAME.

    Raises:
        InputError: there is none; lists what there is.
    """
    name = name.partition("{")[0]
    points = _points()
    found = [
        (known, point) for known, point in sorted(points.items()) if name in (known, known.partition("@")[0])
    ]
    if not found:
        raise InputError(
            f"judge {name}: there is none.{_meant(name, points)} Available: {', '.join(available_judges())}."
        )
    return [_info(reference, point) for reference, point in found]


def load_judge(reference: str | Mapping[str, Any]) -> Judge:
    """Load a judge.

    Args:
        reference: NAME@vN, or NAME@vN{JSON} with parameters; or a table with `name` and parameters.

    Raises:
        InputError: not of that form, no such judge, no such version, or the plug-in cannot be loaded or is no
            judge, with what there is; or parameters are unknown, missing or bad: names each.
        ResourceError: a library that the judge needs is not installed.

    Example:
        >>> judge = load_judge("answer_correctness@v1")
        >>> judge.name, judge.version
        ('answer_correctness', 'v1')
    """
    try:
        parsed = parse_judge(reference)
    except ValueError as error:
        raise InputError(f"{error}. Available: {', '.join(available_judges())}.") from None
    point = _point(parsed)
    plugin = f"judge {parsed.versioned}: its plug-in {point.value} ({_package(point)})"
    kind = _loaded(point, plugin)
    parameters = _parameters(parsed, getattr(kind, "Parameters", None))
    try:
        judge = kind() if parameters is None else kind(parameters)
    except HallmarkError:
        raise
    except Exception as error:
        raise InputError(f"{plugin} cannot be loaded: {type(error).__name__}: {error}") from error
    if problem := _misshapen(judge, parsed):
        raise InputError(
            f"{plugin} is no judge: {problem}. A judge has name, version and score(item, prediction)."
        )
    loaded: Judge = judge
    library_versions(loaded)
    return loaded


def check_output(judge: Judge, output: str) -> None:
    """Refuse a judge that cannot read what a model is asked for.

    Args:
        judge: who is to score.
        output: `generation.output`: text or log_probs.

    Raises:
        InputError: it reads the other one.
    """
    reads = getattr(judge, "reads", "text")
    if reads == output:
        return
    readers = ", ".join(name for name in available_judges() if _reads(name) == output)
    raise InputError(
        f"judge {judge_reference(judge)} reads {_READABLE[reads]}, and generation.output is {output}. Set "
        f"generation.output to {reads}, or name a judge that reads {_READABLE[output]}: {readers}."
    )


def _reads(name: str) -> str | None:
    """What an installed judge reads; None for one that cannot be loaded."""
    try:
        return str(getattr(_points()[name].load(), "reads", "text"))
    except Exception:  # a plug-in may raise anything
        return None


def judge_reference(judge: Judge) -> str:
    """The string that names a judge: parameters that have their default are left out, so that one judge has
    one name.

    Example:
        >>> judge_reference(load_judge({"name": "answer_correctness@v1"}))
        'answer_correctness@v1'
    """
    return str(ParsedJudge(judge.name, judge.version, judge_parameters(judge)))


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


def _point(parsed: ParsedJudge) -> metadata.EntryPoint:
    points = _points()
    if parsed.versioned in points:
        return points[parsed.versioned]
    versions = [name for name in points if name.partition("@")[0] == parsed.name]
    known = (
        f"{parsed.name} has no version {parsed.version}."
        if versions
        else f"there is no judge {parsed.name}.{_meant(parsed.versioned, points)}"
    )
    raise InputError(f"judge {parsed.versioned}: {known} Available: {', '.join(sorted(versions or points))}.")


def _meant(name: str, known: Iterable[str]) -> str:
    """Which judge a name may stand for, without a version where it has none."""
    named = known if "@" in name else {each.partition("@")[0] for each in known}
    return did_you_mean(name, named)


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"


def _loaded(point: metadata.EntryPoint, plugin: str) -> Any:
    try:
        return point.load()
    except HallmarkError:
        raise
    except Exception as error:
        raise InputError(f"{plugin} cannot be loaded: {type(error).__name__}: {error}") from error


def _parameters(parsed: ParsedJudge, kind: type[BaseModel] | None) -> BaseModel | None:
    """The parameters of a judge, checked; None for a judge that has none.

    Raises:
        InputError: names each unknown, missing or bad one.
    """
    if kind is None:
        if parsed.parameters:
            raise InputError(
                f"judge {parsed.versioned}: takes no parameters, got {', '.join(sorted(parsed.parameters))}"
            )
        return None
    try:
        return kind.model_validate(parsed.parameters)
    except ValidationError as error:
        problems = "; ".join(_problem(problem) for problem in error.errors())
        known = [each.name for each in parameter_infos(kind)]
        unknown = [name for name in parsed.parameters if name not in known]
        meant = did_you_mean(unknown[0], known) if unknown else ""
        raise InputError(
            f"judge {parsed.versioned}: {problems}.{meant} Its parameters: {', '.join(known)}."
        ) from None


def _problem(problem: Any) -> str:
    """One of pydantic's problems with a parameter, in words."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"parameter {name} is missing"
    if problem["type"] == "extra_forbidden":
        return f"there is no parameter {name}"
    if problem["type"] == "value_error":
        return f"parameter {name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    return f"parameter {name}: {problem['msg']}, got {problem['input']!r}"


def parameter_infos(kind: type[BaseModel]) -> list[ParameterInfo]:
    """What a judge can be given, as its model of parameters says."""
    schema = kind.model_json_schema()
    return [
        ParameterInfo(
            name=name,
            type=_type(about),
            default=about.get("default"),
            required=name in schema.get("required", ()),
            help=about.get("description", ""),
        )
        for name, about in schema.get("properties", {}).items()
    ]


def _type(about: Mapping[str, Any]) -> str:
    """A type of JSON Schema in words."""
    if "enum" in about:
        return " | ".join(map(str, about["enum"]))
    if "anyOf" in about:
        return " | ".join(_type(each) for each in about["anyOf"])
    if about.get("type") == "array":
        return f"list of {_type(about.get('items', {}))}"
    return str(about.get("const", about.get("type", "any")))


def _misshapen(judge: Any, parsed: ParsedJudge) -> str | None:
    """What keeps an object from being the judge of this name; None where nothing does."""
    for attribute, expected in (("name", parsed.name), ("version", parsed.version)):
        if getattr(judge, attribute, None) != expected:
            return f"its {attribute} is {getattr(judge, attribute, None)!r}, expected {expected!r}"
    try:
        inspect.signature(judge.score).bind(None, "")
    except (AttributeError, TypeError, ValueError) as error:
        return f"score cannot be called with an item and a prediction: {error}"
    libraries = getattr(judge, "libraries", ())
    if isinstance(libraries, str) or not all(isinstance(library, str) for library in libraries):
        return "its libraries are not names of packages"
    parameters = getattr(judge, "parameters", None)
    if getattr(judge, "Parameters", None) is not None and not isinstance(parameters, BaseModel):
        return "it does not keep its parameters as `parameters`"
    return None


def _info(reference: str, point: metadata.EntryPoint) -> JudgeInfo:
    info = JudgeInfo(judge=reference, package=_package(point))
    try:
        kind = _loaded(point, f"judge {reference}: its plug-in {point.value} ({_package(point)})")
        model = getattr(kind, "Parameters", None)
        info.parameters = parameter_infos(model) if model else []
        if not any(each.required for each in info.parameters):
            kind = type(load_judge(reference))
        info.fingerprint = fingerprint_of(kind, {})
        info.libraries = library_versions(kind)
    except HallmarkError as error:
        info.error = str(error)
        return info
    module = sys.modules.get(kind.__module__)
    info.specification = inspect.cleandoc((module and module.__doc__) or "")
    info.description = (inspect.getdoc(kind) or "").partition("\n")[0]
    return info


def recorded_judge(reference: str, fingerprint: str) -> dict[str, Any]:
    """What a manifest says of a judge.

    Args:
        reference: as NAME@vN.
        fingerprint: the one that was planned with.

    Raises:
        ResourceError: a library that the judge needs is not installed.
    """
    libraries = library_versions(load_judge(reference))
    return {"name": reference, "fingerprint": fingerprint, "libraries": libraries}
