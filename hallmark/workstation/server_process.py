"""Prefect's own server, with one change to how it uses SQLite: a transaction takes its turn when it begins.

Prefect begins with `BEGIN DEFERRED`. A transaction that reads first and then writes fails at once where
another wrote in between: "database is locked", whatever the busy timeout (https://www.sqlite.org/isolation.html).
An event that failed so four times is dropped, and with it the message that a run failed. Now and then such
failures also kept the whole server from answering until the busy timeout of sixty seconds was over.

`BEGIN IMMEDIATE` waits for the other writer instead. The server's transactions are short, and readers do not
wait.

Run as a program it is Prefect's command: `python -m hallmark.workstation.server_process server start ...`.
"""

from __future__ import annotations

from typing import Any


def begin_with_the_lock() -> None:
    """Let every transaction of this process on SQLite take the lock for writing when it begins."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def immediate(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        return ("BEGIN IMMEDIATE" if statement == "BEGIN DEFERRED" else statement), parameters


if __name__ == "__main__":
    begin_with_the_lock()
    from prefect.cli import app

    app()
