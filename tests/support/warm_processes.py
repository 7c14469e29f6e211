"""Processes that begin with everything imported: a fork takes a hundredth of the seconds that importing
takes.

Run as a program this file is the server. It imports some modules, and then answers on the socket that is its
standard
input: it starts a process, or waits for the end of one. Each is forked from one that has done nothing but
    import.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

COMMAND_LINE = (
    "hallmark.cli",
    "hallmark.cli.show.comparison",
    "hallmark.cli.show.models",
    "hallmark.cli.show.run",
    "hallmark.workstation.ready",
    "experiments.promoting",
    "experiments.rejudging",
    "experiments.workspace",
    "evaluation.gate",
    "judges",
    "alembic.command",
)
TRAINER = ("trainer.job", "transformers.models.auto.tokenization_auto")
INFERENCE = ("inference.generate", "transformers.models.auto", "transformers.models.llama.modeling_llama")
VLLM = (
    "inference.generate",
    "transformers.models.qwen3.modeling_qwen3",
    "accelerate",
    "vllm.v1.engine.llm_engine",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.qwen3",
)
ROOT = Path(__file__).parents[2]
LARGEST_MESSAGE = 1 << 20


class WarmProcess:
    """A process that was started so; like a `subprocess.Popen` with pipes for standard input and output."""

    def __init__(self, processes: WarmProcesses, pid: int, stdin: int, stdout: int) -> None:
        self.processes = processes
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w")
        self.stdout = os.fdopen(stdout)

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; gives its exit code, or its signal as a negative number."""
        return self.processes.wait(self.pid, timeout)


class WarmProcesses:
    """Starts processes through a server, which ends with this process.

    Args:
        modules: what is imported before a process begins.
        python: interpreter, which may be another environment's.
    """

    def __init__(self, modules: Sequence[str], python: str = sys.executable) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        elsewhere = {} if python == sys.executable else {"PYTHONPATH": str(ROOT)}
        # A console of rich that is made while a module is imported keeps the width that it finds.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        with theirs:
            self.server = subprocess.Popen(
                [python, "-P", __file__, *modules], stdin=theirs, env={**environment, **elsewhere}
            )

    def start(
        self, program: str, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> WarmProcess:
        """Start a process, and talk to it through pipes; the arguments are those of `run`."""
        (theirs_in, stdin), (stdout, theirs_out) = os.pipe(), os.pipe()
        pid = self.fork(program, arguments, environment, cwd, (theirs_in, theirs_out, 2))
        for descriptor in (theirs_in, theirs_out):
            os.close(descriptor)
        return WarmProcess(self, pid, stdin, stdout)

    def run(
        self, program: str, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run a process to its end.

        Args:
            program: what `python -m` would run, or the function that a name such as hallmark.cli:main stands
                for.
            arguments: of the command line.
            environment: all of its variables. Those that Python or a library reads while it is imported do
                nothing.
            cwd: working directory.
        """
        with Path(os.devnull).open() as nothing, memory("stdout") as out, memory("stderr") as errors:
            streams = (nothing.fileno(), out.fileno(), errors.fileno())
            code = self.wait(self.fork(program, arguments, environment, cwd, streams))
            texts = [Path(f"/proc/self/fd/{stream}").read_text() for stream in streams[1:]]
        return subprocess.CompletedProcess([program, *arguments], code, *texts)

    def fork(
        self,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        streams: tuple[int, int, int],
    ) -> int:
        """Let the server start a process with these descriptors as its standard streams; gives its id."""
        request = {
            "program": program,
            "arguments": arguments,
            "environment": dict(environment),
            "cwd": str(cwd),
        }
        return self._ask(request, streams)

    def wait(self, pid: int, timeout: float | None = None) -> int:
        """Wait for the end of a process; gives its exit code, or its signal as a negative number."""
        return self._ask({"wait": pid}, timeout=timeout)

    def _ask(
        self, request: Mapping[str, Any], descriptors: Sequence[int] = (), timeout: float | None = None
    ) -> int:
        self.socket.settimeout(timeout)
        socket.send_fds(self.socket, [json.dumps(request).encode()], descriptors)
        answer = self.socket.recv(LARGEST_MESSAGE)
        assert answer, f"the server of warm processes ended: exit code {self.server.wait()}"
        return int(answer)


def memory(name: str) -> BinaryIO:
    """A file that lies on no disk."""
    return os.fdopen(os.memfd_create(name), "wb")


@cache
def warm_processes(modules: Sequence[str], python: str = sys.executable) -> WarmProcesses:
    """The server for some modules, one for all tests of this process."""
    return WarmProcesses(modules, python)


def run_hallmark(
    arguments: Sequence[object], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, in a process of its own."""
    if "PYTHONPATH" in environment:  # Python reads it when it starts
        command = [str(Path(sys.executable).with_name("hallmark")), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    return warm_processes(COMMAND_LINE).run("hallmark.cli:main", list(map(str, arguments)), environment, cwd)


def serve(modules: Sequence[str]) -> None:
    """Answer until the other end of the socket is closed."""
    for name in modules:
        with suppress(ModuleNotFoundError):  # the core has neither torch nor jax
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, LARGEST_MESSAGE, 3)
        if not message:
            return
        request = json.loads(message)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            requests.close()
            become(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(answer).encode())


def become(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the program that was asked for, and end as an interpreter ends."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    module, _, function = request["program"].partition(":")
    sys.argv = [module, *request["arguments"]]
    if function:
        getattr(importlib.import_module(module), function)()
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve(sys.argv[1:])
