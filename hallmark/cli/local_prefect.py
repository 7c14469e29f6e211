"""Running a flow from the command line: Prefect's own temporary server, or the one that the environment names."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from hallmark.cli.terminal import err, progress_bars, say
from hallmark.settings import get_settings
from hallmark.stages import raise_on_termination

Result = TypeVar("Result")

CHOSEN_BY_USER = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")


def run_flow(load: Callable[[], Callable[[Any], Result]], config: Any) -> Result:
    """Run a flow in this process and show its progress.

    Args:
        load: imports and gives the flow; called after Prefect's environment is set.
        config: the flow's parameter.
    """
    raise_on_termination()
    _prepare_environment()
    with err.status("starting Prefect") if err.is_terminal else _announced("starting Prefect"):
        flow = load()
        from tasks.listening import listening
    with progress_bars() as listener, listening(listener):
        return flow(config)


def _announced(message: str) -> Any:
    from contextlib import nullcontext

    say(message)
    return nullcontext()


def _prepare_environment() -> None:
    """Keep Prefect's state in our home unless the person chose otherwise; no analytics; no log lines over the progress bars."""
    if not any(os.environ.get(name) for name in CHOSEN_BY_USER):
        home = get_settings().home.absolute() / "prefect"
        os.environ["PREFECT_HOME"] = str(home)
        if not home.exists():
            say("First start: Prefect sets up its database, which takes about 15 seconds.")
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }
    if not os.environ.get("HALLMARK_DEBUG"):
        defaults["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        logging.getLogger("alembic").setLevel(logging.ERROR)
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
