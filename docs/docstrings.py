"""Read our docstrings for the page of the Python API: griffe knows `Examples:`, and we write `Example:`."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Example(griffe.Extension):
    """Takes the section `Example:` for what it is: lines of Python with what they print."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
