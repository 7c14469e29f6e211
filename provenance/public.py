"""What may leave this machine: names instead of paths, and no password inside an address."""

from __future__ import annotations

import re
from typing import Any

REGISTERED = "registry:"
LOCAL_PATH = re.compile(r"(?<![\w./~])(?:file://[\w.-]*|~[\w.-]*)?/(?!/)(?:[^/\s,;:'\"=]+/)*(?=[^/\s])")
SIGN_IN = re.compile(r"(?<=://)[^/@\s]+@")


def public(value: Any) -> Any:
    """A JSON value whose local paths are cut to their last part, and whose URLs have no user and password."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {key: public(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public(inner) for inner in value]
    return value


def _text(text: str) -> str:
    if "/" not in text:
        return text
    if text.startswith(("/", "~", "./", "../", "file:")):
        return text.rstrip("/").rpartition("/")[2]
    return LOCAL_PATH.sub("", SIGN_IN.sub("", text))


def public_model(reference: str, revision: str | None) -> str:
    """A model's public name: a folder's last part, a hub id without revision, or `registry:NAME@ALIAS`.

    Args:
        reference: what was asked for.
        revision: commit of a hub model or version of a registered one; None says that the reference is a
            directory.
    """
    if reference.startswith(REGISTERED):
        return str(public(reference))
    if revision is None:
        return reference.rstrip("/").rpartition("/")[2]
    return str(public(reference.partition("@")[0]))
