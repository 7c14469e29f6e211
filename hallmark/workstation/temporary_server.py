"""Prefect's server for the flows of one process, which ends with it.

It is a process of its own, in a session of its own, so that Ctrl-C in a terminal or a notebook's interrupt
does not take it away from the flow that has still to report. It ends when its standard input does, a pipe
that the kernel closes when the process is gone, however it ended.

Run as a program it is that server: `python -m hallmark.workstation.temporary_server PORT`.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from core.errors import ResourceError
from hallmark.workstation.setup import wait_for_server

STARTUP_SECONDS = 120.0
STOP_SECONDS = 5.0
HOST = "127.0.0.1"


class TemporaryServer:
    """A running server. Its settings are those of the environment.

    Args:
        home: PREFECT_HOME, where its state and its log are.

    Raises:
        ResourceError: it does not start.
    """

    def __init__(self, home: Path) -> None:
        self.port = _free_port()
        self.address = f"http://{HOST}:{self.port}/api"
        self.log = home / "temporary-server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", __name__, str(self.port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.stop)
        sign_in = os.environ.get("PREFECT_API_AUTH_STRING")
        wait_for_server(self.address, sign_in, self._refuse_ended, STARTUP_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether its process is alive."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End it in an orderly way if it can."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _refuse_ended(self) -> None:
        if not self.is_running:
            raise ResourceError(
                f"Prefect's temporary server ended at once (exit code {self.process.returncode}). "
                f"What it printed is in {self.log}."
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def serve(port: int) -> None:
    """Be the server until standard input ends."""
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="error", lifespan="on"))

    def end_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.run()
    os._exit(0)  # all is closed; taking the interpreter down as well would take seconds that nobody waits for


if __name__ == "__main__":
    serve(int(sys.argv[1]))
