"""`hallmark ui`: pages on the registry."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated

import typer

from hallmark.cli.terminal import Port, home, out
from hallmark.progress import say

Host = Annotated[
    str, typer.Option(help="Address to listen on. Another than this machine's own needs --name: docs/ui.md.")
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Name that browsers reach it by, as behind a proxy; it answers to no other. Repeatable.",
    ),
]


def ui(
    host: Host = "127.0.0.1",
    port: Port = 4201,
    name: Names = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
    review: Annotated[
        bool, typer.Option("--review", help="Let people say what is wrong with golden items: docs/review.md.")
    ] = False,
) -> None:
    """Serve pages on the registry: runs, comparisons, models, nights, training curves, integrity.

    They change nothing but, with --review, what reviewers say. Asks for the same sign-in as the
    Prefect server. Ends with Ctrl-C.
    """
    from experiments.workspace import open_workspace
    from hallmark.ui import serving
    from hallmark.ui.app import create_app

    hosts = serving.allowed_hosts(host, name or [])
    workspace = open_workspace()
    sign_in, where = serving.sign_in_of(home())
    with serving.listening(host, port) as listens:
        shown = f"[{host}]" if ":" in host else "127.0.0.1" if host in serving.ANY else host
        address = f"http://{shown}:{port}"

        def ready() -> None:
            out.print(f"[bold]pages[/]    {address}", highlight=False)
            out.print("[bold]sign-in[/]  ", end="")
            out.print(where, markup=False, soft_wrap=True)
            sys.stdout.flush()
            if open_browser:
                webbrowser.open(address)

        try:
            serving.serve(create_app(workspace, review, hosts=hosts, sign_in=sign_in), listens, ready)
        except KeyboardInterrupt:
            say("stopped")
            raise typer.Exit(130) from None
