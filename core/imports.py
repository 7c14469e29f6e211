"""Importing large libraries in less time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def collection_paused() -> Iterator[None]:
    """Inside the block Python does not look for garbage; what is there at its end is not looked at again.

    Python looks the more often the more objects there are, and finds none among modules and classes: it took
    a fifth of the time in which torch and transformers are imported, and a quarter of that of Prefect's
    server.
    """
    if not gc.isenabled():  # somebody else's choice, or a block around this one
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def unseen(*names: str) -> Iterator[None]:
    """Inside the block Python finds none of these packages, unless they are imported already: libraries
    import whatever is installed that one of their features needs, wanted or not.

    Args:
        names: of packages, without a dot.
    """
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None is how Python is told that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
