"""What a flow run is called: what somebody typed, else what it does and what differs from the defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from core.config import Config

SHOWN = 4
"""Settings that a name holds at most."""
IN_THE_TITLE = {"model", "base_model", "dataset", "train.dataset", "train.mix", "require"}
"""Settings that the titles of configurations name."""

GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|upsilon|"
    "phi|chi|psi|omega"
)
OF_A_FORM = re.compile(rf"(?:{GREEK})\d*-[a-z][a-z-]*|[A-Z][a-z]+-[A-Z][^-]*(?:-[^-]+)*")
"""Names that the forms of Prefect's two UIs come up with, as in delta6-librae-collapse and Licensed-Trout."""


def run_name(template: str) -> Callable[[], str]:
    """What names the runs of a flow, for Prefect to call when one starts.

    Args:
        template: a format string over the parameters, saying kind, model and dataset.
    """

    def named() -> str:
        from prefect.context import FlowRunContext

        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return template
        typed = context.flow_run.name
        if not is_made_up(typed):
            return typed
        parameters = context.parameters or {}
        inside = context.flow_run.parent_task_run_id is not None
        config = None if inside else parameters.get("config")
        return ", ".join([template.format(**parameters), *differing(config)])

    return named


def differing(config: Config | None) -> list[str]:
    """The settings that are not the defaults, apart from those that its title names; the first few.

    Example:
        >>> differing(ExperimentConfig.model_validate({"train": {"steps": 90}, "promote": False}))
        ['steps=90', 'promote=off']
    """
    if config is None:
        return []
    defaults = dict(_leaves(type(config)()))
    found = [
        f"{name.rpartition('.')[2]}={_shown(value)}"
        for name, value in _leaves(config)
        if name not in IN_THE_TITLE and value != defaults.get(name)
    ]
    more = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return found[:SHOWN] + more


def is_made_up(name: str) -> bool:
    """Whether Prefect came up with a name, and nobody typed it."""
    words = name.split("-")
    return OF_A_FORM.fullmatch(name) is not None or (len(words) == 2 and _slug_words().issuperset(words))


@cache
def _slug_words() -> frozenset[str]:
    """The words of which Prefect's server makes names."""
    from coolname import data

    lists: dict[str, Any] = dict(data.config)
    return frozenset(word for each in lists.values() for word in each.get("words", ()))


def _leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:39]}…"
