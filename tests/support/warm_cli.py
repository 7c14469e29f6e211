"""The command line in processes that begin with everything imported: a fork takes a tenth of the second that importing takes.

Run as a program it is the server: a line of JSON on standard input is a command, a line on standard output its exit code. Each
command is a process of its own, forked from one with a single thread, which has run nothing before but imports.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WARM = (
    "hallmark.cli.app",
    "experiments.promoting",
    "experiments.plan",
    "experiments.workspace",
    "evaluation.gate",
    "judges",
    "alembic.command",
)


class WarmCommandLine:
    """Starts commands through a server process.

    Args:
        folder: for what the commands print.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = subprocess.Popen([sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        printed = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        command = {"arguments": list(arguments), "environment": dict(environment), "cwd": str(cwd), **printed}
        self.server.stdin.write(json.dumps(command) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        texts = {name: Path(path).read_text() for name, path in printed.items()}
        return subprocess.CompletedProcess(["hallmark", *arguments], code, **texts)

    def close(self) -> None:
        """End the server."""
        self.server.communicate()


def serve() -> None:
    """Answer commands until standard input ends."""
    for name in WARM:
        importlib.import_module(name)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            run(command)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(command: dict[str, object]) -> None:
    """Become the command; never returns."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(command["environment"])  # type: ignore[call-overload]
        os.chdir(str(command["cwd"]))
        for number, name in enumerate(("stdout", "stderr"), start=1):
            os.dup2(os.open(str(command[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["hallmark", *command["arguments"]]  # type: ignore[misc]
        from hallmark.cli import main

        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
