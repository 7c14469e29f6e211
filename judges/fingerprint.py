"""The fingerprint of a judge: the code, ours and its libraries', that can change what it says."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from core.errors import InputError, ResourceError
from core.files import sha256_bytes, sha256_json
from judges.base import Judge, judge_parameters

CONTRACT = "judges.base"
"""What every judge imports and what cannot change a judge's opinion: the form of its answer."""


def judge_fingerprint(judge: Judge) -> str:
    """The sha256 of a judge's code as Python understands it: comments, docstrings and layout do not count.

    The code is the judge's module, and every module of the same top-level package that it imports, directly
    or through another, so that a judge may keep its helpers in a file of their own and a change there shows
    too. Of what it imports from other packages only the versions count, and only of those it names in
    `libraries`. What it imports by other means than an import statement is not seen.

    Parameters that differ from their defaults count too.

    A judge of one module without `libraries` and parameters has the plain hash of that module, and adding any
    of them never changes another's.

    Args:
        judge: as `load_judge` gives it.

    Raises:
        InputError: some source cannot be read, so no change of it would be noticed.
        ResourceError: a library that it names is not installed.
    """
    return fingerprint_of(type(judge), judge_parameters(judge))


def fingerprint_of(kind: type[Judge], parameters: Mapping[str, Any]) -> str:
    """The fingerprint of the judges of a class with these parameters. See `judge_fingerprint`."""
    sources, libraries = code_sha256(kind), library_versions(kind)
    main = sources.pop(kind.__module__)
    if not sources and not libraries and not parameters:
        return main
    covered = {"judge": main, "modules": sources, "libraries": libraries}
    return sha256_json({**covered, **({"parameters": parameters} if parameters else {})})


def code_sha256(kind: type[Judge]) -> dict[str, str]:
    """The modules that a fingerprint covers, each with the sha256 of its code.

    Raises:
        InputError: some source cannot be read.
    """
    sources: dict[str, str] = {}
    waiting = [kind.__module__]
    while waiting:
        if (name := waiting.pop()) not in sources:
            tree = _tree(name, kind)
            waiting += _own_imports(tree, name)
            sources[name] = sha256_bytes(_plain(tree).encode())
    return sources


def library_versions(judge: Judge | type[Judge]) -> dict[str, str]:
    """The installed versions of the libraries that a judge names; none for a judge that names none.

    Raises:
        ResourceError: one is not installed.
    """
    versions = {}
    for name in getattr(judge, "libraries", ()):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ResourceError(
                f"judge {judge.name}@{judge.version} needs the package {name}, which is not installed: "
                f"pip install {name}"
            ) from None
    return versions


def _tree(name: str, judge: type[Judge]) -> ast.Module:
    try:
        module = sys.modules.get(name) or importlib.import_module(name)
        return ast.parse(inspect.getsource(module) or "\n")
    except (ImportError, OSError, TypeError, SyntaxError) as error:
        raise InputError(
            f"judge {judge.name}@{judge.version}: its source {name} cannot be read, "
            f"so it cannot be fingerprinted: {error}"
        ) from error


def _own_imports(tree: ast.Module, module: str) -> set[str]:
    """The modules of the same top-level package that a module names in its import statements."""
    spec = importlib.util.find_spec(module)
    package = (spec.parent if spec else None) or ""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                if node.level
                else str(node.module)
            )
            found.add(base)
            if base.partition(".")[0] == module.partition(".")[0]:
                found |= {
                    f"{base}.{alias.name}" for alias in node.names if _is_module(f"{base}.{alias.name}")
                }
    top = module.partition(".")[0]
    return {name for name in found if name.partition(".")[0] == top and name != CONTRACT}


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def _plain(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return ast.unparse(tree)


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        node.body[0] = ast.Pass()
