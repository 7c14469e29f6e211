"""The server and the worker as processes of their own: one of each a home, found by a lock that dies with its
process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ResourceError
from core.files import make_home
from core.locks import Holder, acquire, holder

STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Service:
    """A long-running program of a home.

    Attributes:
        name: server or worker; names its files below `services/`.
    """

    name: str

    def lock(self, home: Path) -> Path:
        """Held while the service runs."""
        return home / "services" / f"{self.name}.lock"

    def log(self, home: Path) -> Path:
        """What it prints when it was started in the background."""
        return home / "services" / f"{self.name}.log"

    def holder(self, home: Path) -> Holder | None:
        """The running process; None when it does not run."""
        return holder(self.lock(home))

    def become(
        self, home: Path, program: str, arguments: list[str], environment: dict[str, str], address: str = ""
    ) -> None:
        """Replace this process by the service's program, which goes on holding the lock.

        Args:
            home: HALLMARK_HOME, absolute.
            program: an executable beside our Python.
            arguments: of the program.
            environment: of the program.
            address: where a server will listen.

        Raises:
            ResourceError: the service runs already.
        """
        make_home(home)
        if acquire(self.lock(home), f"the {self.name}", address, inheritable=True) is None:
            running = self.holder(home)
            what = running.sentence() if running else f"the {self.name}"
            raise ResourceError(f"{what} runs already in {home}. Stop it: hallmark down")
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # ignored where a script started us in the background; Prefect then never ends
        path = beside_python(program)
        os.execve(path, [path, *arguments], environment)  # noqa: S606 - no shell

    def start(self, home: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start `hallmark ...` in the background, in a session of its own, printing to the service's log."""
        path = self.log(home)
        make_home(home)
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own program, no shell
                [beside_python("hallmark"), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=Path(__file__).parents[2],
            )

    def stop(self, home: Path, seconds: float = STOP_SECONDS) -> bool:
        """End the running process, in an orderly way if it can; whether there was one.

        Args:
            home: HALLMARK_HOME, absolute.
            seconds: how long it may take before it is killed.
        """
        running = self.holder(home)
        if running is None:
            return False
        deadline = time.monotonic() + seconds
        # Prefect's worker kills its flow runs without a chance to report, so they are asked first.
        children = _children(running.pid)
        for child in children:
            _signal(child, signal.SIGTERM)
        while any(map(_is_alive, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        _signal(running.pid, signal.SIGTERM)
        while self.holder(home) is not None:
            if time.monotonic() > deadline:
                _signal(running.pid, signal.SIGKILL)
            time.sleep(0.1)
        return True

    def last_lines(self, home: Path, count: int = 5) -> str:
        """The end of the log."""
        try:
            return "\n".join(
                self.log(home).read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
            )
        except OSError:
            return ""


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for path in Path(f"/proc/{pid}/task").glob("*/children")
            for child in path.read_text().split()
        ]
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _signal(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


SERVER, WORKER = Service("server"), Service("worker")


def beside_python(program: str) -> str:
    """An executable of the environment that this Python belongs to."""
    return str(Path(sys.executable).with_name(program))
