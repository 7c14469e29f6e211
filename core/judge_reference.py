"""How a judge is named: `NAME@vN`, and for a judge with parameters `NAME@vN{"pattern":"x"}`.

It is this one string that settings, suites, manifests and the registry hold, so it is always written the same
way: canonical JSON, keys sorted, no spaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, NoReturn

from pydantic import BeforeValidator

from core.files import canonical_json

NAME = re.compile(r"(?P<name>[a-z0-9_]+)@(?P<version>v[1-9][0-9]*)", re.ASCII)
LONGEST = 4096
"""Characters of a reference: parameters are settings, no data."""

EXPECTED = (
    'expected NAME@vN, as in answer_correctness@v1, or NAME@vN{"PARAMETER":VALUE} for a judge with parameters'
)


class ParsedJudge(NamedTuple):
    """A reference, taken apart.

    Attributes:
        name: as in regex.
        version: as in v1.
        parameters: by name; empty for none.
    """

    name: str
    version: str
    parameters: dict[str, Any]

    @property
    def versioned(self) -> str:
        """NAME@vN, without parameters."""
        return f"{self.name}@{self.version}"

    def __str__(self) -> str:
        """The reference."""
        return self.versioned + (canonical_json(self.parameters) if self.parameters else "")


def parse_judge(reference: str | Mapping[str, Any]) -> ParsedJudge:
    """Take a reference apart.

    Args:
        reference: the string, or a table with `name` and the parameters beside it, as TOML files have it.

    Raises:
        ValueError: it is neither; says what is wrong, in a sentence.

    Example:
        >>> parse_judge({"name": "regex@v1", "pattern": "[0-9]+", "group": 0})
        ParsedJudge(name='regex', version='v1', parameters={'pattern': '[0-9]+', 'group': 0})
        >>> str(parse_judge('regex@v1 {"pattern": "[0-9]+", "group": 0}'))
        'regex@v1{"group":0,"pattern":"[0-9]+"}'
    """
    if isinstance(reference, Mapping):
        parameters = dict(reference)
        text = parameters.pop("name", None)
        if not isinstance(text, str):
            raise ValueError(
                'judge: name is missing in the table, as in {name = "regex@v1", pattern = "[0-9]+"}'
            )
    elif isinstance(reference, str):
        text, brace, rest = reference.partition("{")
        text, parameters = text.rstrip(), _read("{" + rest, reference) if brace else {}
    else:
        raise ValueError(f"judge: {EXPECTED}, got {reference!r}")
    match = NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"judge {text!r}: {EXPECTED}")
    parsed = ParsedJudge(match["name"], match["version"], parameters)
    try:
        length = len(str(parsed))
        str(parsed).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"judge {text}: its parameters cannot be written as JSON: {error}") from None
    if length > LONGEST:
        raise ValueError(f"judge {text}: its parameters are {length:,} characters; at most {LONGEST:,}")
    return parsed


def _read(text: str, reference: str) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"judge {reference[:200]}: its parameters are not a JSON object: {error}. In a shell, put the "
            "reference between single quotes."
        ) from None
    return parameters


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found


def _canonical(value: Any) -> Any:
    return value if value is None else str(parse_judge(value))


JudgeReference = Annotated[str, BeforeValidator(_canonical)]
"""The type of a field that names a judge: takes the string or the table, holds the canonical string."""
