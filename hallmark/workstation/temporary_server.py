"""Prefect's server for the flows of one process, which ends with it.

It is a process of its own, in a session of its own, so that Ctrl-C in a terminal or a notebook's interrupt
does not take it away from the flow that has still to report. It ends when its standard input does, a pipe
that the kernel closes when the process is gone, however it ended.

Run as a program it is that server: `python -m hallmark.workstation.temporary_server DESCRIPTOR`. The
descriptor is that of its socket, which listens already: whoever asks early waits, and need not ask again.
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
from core.imports import collection_paused
from hallmark.workstation.server_process import begin_with_the_lock
from hallmark.workstation.setup import wait_for_server

STARTUP_SECONDS = 120.0
STOP_SECONDS = 5.0
HOST = "127.0.0.1"


class TemporaryServer:
    """A server that starts. Its settings are those of the environment.

    Args:
        home: PREFECT_HOME, where its state and its log are.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / "temporary-server.log"
        with self.log.open("ab") as log, socket.create_server((HOST, 0)) as listening:
            self.address = f"http://{HOST}:{listening.getsockname()[1]}/api"
            self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", __name__, str(listening.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(listening.fileno(),),
                start_new_session=True,
            )
        atexit.register(self.stop)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            ResourceError: it does not start.
        """
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


def serve(descriptor: int) -> None:
    """Be the server until standard input ends.

    Args:
        descriptor: of the socket that listens.
    """
    with collection_paused():
        import uvicorn
        from prefect.server.api.server import create_app

        begin_with_the_lock()
        app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))

    def end_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    with socket.socket(fileno=descriptor) as listening:
        server.run(sockets=[listening])
    os._exit(0)  # all is closed; taking the interpreter down as well would take seconds that nobody waits for


if __name__ == "__main__":
    serve(int(sys.argv[1]))
