"""Heavy work in its own process: it gives all memory back, has its own threads, and dies with its parent.

The parent writes one line of JSON (what to do) to the child's standard input and keeps the pipe open. The
child answers with JSON lines: progress, then one result or one error. When the pipe closes, the parent is
gone and the child ends.

A child may begin early, before anybody knows what it has to do: it imports its libraries meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from pydantic import BaseModel

from core.errors import HallmarkError, InterruptedWork, error_for_exit_code, interruption
from core.progress import Listener, Progress, listening

Spec = TypeVar("Spec", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)

GRACE_SECONDS = 10
STOPPING = (signal.SIGTERM, signal.SIGINT)
EARLY = "--early"
"""Argument of a child that begins early; after it, the descriptor of the socket that its own come through."""

MOST_DESCRIPTORS = 64
"""More than the log and one lock for every GPU of a machine."""

MOST_PRINTED = 1 << 20
"""Bytes that are kept of what a child prints while it has no log yet."""

NO_MATTER = ("PREFECT_", "DO_NOT_TRACK")
"""How the variables begin that no child reads: they change while Prefect starts."""


def run_child(
    module: str,
    spec: BaseModel,
    result: type[Result],
    *,
    threads: int,
    log: Path,
    listener: Listener,
    keep: tuple[int, ...] = (),
    python: Path | None = None,
) -> Result:
    """Run `python -m module` on a spec and wait for its result.

    Args:
        module: the child's module; it uses `answering`.
        spec: what to do.
        result: class of the answer.
        threads: CPU threads for every library in the child.
        log: file that receives whatever the child's libraries print, and the traceback of an unexpected
            error.
        listener: gets the child's progress.
        keep: descriptors of locks that the child holds with us, so that they outlive us if we are killed.
        python: interpreter of another environment, for what does not fit into ours; None for our own.

    Raises:
        HallmarkError: the child's own error, of the class it was raised with.
    """
    answer: Result | None = None
    error: HallmarkError | None = None
    with _started(module, threads, log, keep, python) as child:
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 - both are pipes
        with suppress(BrokenPipeError):  # the child died at once; its exit code below says more
            child.stdin.write(spec.model_dump_json() + "\n")
            child.stdin.flush()
        for line in child.stdout:
            message = json.loads(line)
            if message["event"] == "progress":
                listener(Progress.model_validate(message["body"]))
            elif message["event"] == "result":
                answer = result.model_validate(message["body"])
            else:
                error = error_for_exit_code(message["exit_code"], message["body"])
        code = child.wait()
    if error is not None:
        raise error
    if answer is None or code != 0:
        raise HallmarkError(f"{module} ended without a result ({_how(code)}). What it printed is in {log}.")
    return answer


@contextmanager
def started_early(module: str, *, threads: int, python: Path | None = None) -> Iterator[Callable[[], None]]:
    """Start a child now for the first `run_child` of the block that wants the same program, so that it has
    imported its libraries by then. It has no lock yet, so it touches no GPU. Whatever goes wrong with it goes
    wrong again, and is said, when the work is done. One that nobody wanted is killed. One that began around
    this block is taken instead where it runs the same program, and else killed: it was a wrong guess.

    Args:
        module: as for `run_child`; its `answering` says what it does meanwhile.
        threads: likewise.
        python: likewise.

    Yields:
        What kills it before the block ends, where it is known that nobody will want it.

    Example:
        >>> with started_early("inference", threads=2):
        ...     ...  # what takes a while
        ...     run_child("inference", spec, PredictResult, threads=2, log=log, listener=listener)
    """
    program, begun = _program(module, threads, python), _early.get()
    if begun is not None and begun.fits(program):
        yield begun.discard
        return
    if begun is not None:
        begun.discard()
    try:
        child = _EarlyChild(program)
    except OSError:  # no memory or no room for it; the work itself will say so
        yield lambda: None
        return
    token = _early.set(child)
    try:
        yield child.discard
    finally:
        _early.reset(token)
        child.discard()


class _EarlyChild:
    """A child that has begun early. What it prints goes to a file without a name until there is a log."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.waiting = True
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has its log
        self.ours, theirs = socket.socketpair()
        with theirs:
            extra = (EARLY, str(theirs.fileno()))
            self.process = _popen(*self.program, self.printed, (theirs.fileno(),), extra)

    def fits(self, program: Program) -> bool:
        """Whether it is the program that is wanted, alive, and nobody's yet."""
        return self.waiting and self.program == program and self.process.poll() is None

    def take(self, program: Program) -> bool:
        """Whether it fits: then it is the caller's."""
        with _taking:
            taken = self.fits(program)
            self.waiting = self.waiting and not taken
        return taken

    def hand_over(self, log: IO[bytes], keep: tuple[int, ...]) -> None:
        """Give it its log and the locks that it holds with us."""
        self.printed.close()
        with self.ours, suppress(BrokenPipeError):  # it died; its exit code says more
            socket.send_fds(self.ours, [b"\n"], [log.fileno(), *keep])

    def discard(self) -> None:
        """Kill it, unless it is somebody's."""
        with _taking:
            unwanted, self.waiting = self.waiting, False
        if unwanted:
            self.process.kill()
            _end(self.process)
            self.ours.close()
            self.printed.close()


_early: ContextVar[_EarlyChild | None] = ContextVar("hallmark_early_child", default=None)
_taking = threading.Lock()


@contextmanager
def _started(
    module: str, threads: int, log: Path, keep: tuple[int, ...], python: Path | None
) -> Iterator[subprocess.Popen[str]]:
    """A running child, which has ended when the block ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    early, program = _early.get(), _program(module, threads, python)
    with log.open("ab") as errors:
        if early is not None and early.take(program):
            child = early.process
        else:
            early, child = None, _popen(*program, errors, keep)
        try:
            if early is not None:
                early.hand_over(errors, keep)
            yield child
        finally:
            _end(child)


_ELSEWHERE = """
import runpy, sys
from importlib.machinery import PathFinder

place, module, *arguments = sys.argv[1:]

class Ours:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [place]) if name in ("core", "golden", "inference") else None

sys.meta_path.insert(0, Ours)
sys.argv[1:] = arguments
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""What another environment's Python runs: it finds these rooms of ours, and nothing else of what we have."""


def _command(module: str, python: Path | None) -> list[str]:
    if python is None:
        return [sys.executable, "-m", module]
    return [str(python), "-P", "-c", _ELSEWHERE, str(Path(__file__).parent.parent), module]


Program = tuple[list[str], dict[str, str]]
"""What a child is: its command and its environment."""


def _program(module: str, threads: int, python: Path | None) -> Program:
    """The environment has nothing that points into our own packages where it is for another one."""
    left_out = NO_MATTER if python is None else (*NO_MATTER, "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return _command(module, python), {**inherited, **_environment(threads)}


def _popen(
    command: Sequence[str],
    environment: Mapping[str, str],
    errors: IO[bytes],
    keep: tuple[int, ...],
    extra: Sequence[str] = (),
) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        [*command, *extra],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        pass_fds=keep,
        env=environment,
        text=True,
    )


def _environment(threads: int) -> dict[str, str]:
    """NPROC sizes XLA's thread pools, OMP_NUM_THREADS torch's. The rest: quiet, and off the network.

    XLA allocates its buffers again at every step, and the page faults cost up to a third of it, so glibc asks
    for huge pages. OpenMP's threads spin for microseconds before they sleep: sleeping at once costs inference
    a sixth of its speed on a machine of its own, and spinning on made it 40 times slower beside other work.
    Where many jobs share few processors, GOMP_SPINCOUNT=0 is faster.

    oneDNN and torch's layer on top of it each keep a program for the last 1,024 shapes that were multiplied,
    at 2 MB: batches have many shapes, and a few programs made again cost less than gigabytes.
    """
    count = str(threads)
    return {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "NPROC": count,
        "OMP_NUM_THREADS": count,
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "PYTHONHASHSEED": "0",
    }


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed; often the system was out of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _end(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


@dataclass(frozen=True)
class Job(Generic[Spec]):
    """What a child process was asked, and how it answers.

    Attributes:
        spec: what to do.
        listener: sends progress to the parent.
        answer: sends the result to the parent; called once, when the work is done.
    """

    spec: Spec
    listener: Listener
    answer: Callable[[BaseModel], None]


@contextmanager
def answering(spec: type[Spec], *, meanwhile: Callable[[], None] | None = None) -> Iterator[Job[Spec]]:
    """The child's side: reads the spec; the block does the work and answers. An error in it is answered too.

    It is a block rather than a call, so that nothing of ours stands between the child's module and its work.

    Args:
        spec: class of what to do.
        meanwhile: what a child that began early does until the spec is there. Its errors are nobody's: they
            come again when the work is done, or they did not matter.

    Raises:
        SystemExit: the block raised; with the error's exit code. After a block that did not, the process has
            ended.

    Example:
        with answering(PredictSpec) as job:
            job.answer(predict(job.spec, job.listener))
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and closes the pipe
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print goes to the log
    if sys.argv[1:2] == [EARLY]:
        if meanwhile is not None:
            with suppress(Exception):
                meanwhile()
        _take_over(int(sys.argv[2]))

    def say(event: str, body: Any, **extra: Any) -> None:
        answers.write(json.dumps({"event": event, "body": body, **extra}) + "\n")

    wanted = spec.model_validate_json(sys.stdin.readline())

    def listener(progress: Progress) -> None:
        say("progress", progress.model_dump())

    try:
        with listening(listener):
            yield Job(wanted, listener, answer=lambda result: say("result", result.model_dump(mode="json")))
    except HallmarkError as error:
        say("error", str(error), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except Exception as error:
        traceback.print_exc()
        problem = f"unexpected {type(error).__name__}: {str(error)[:500]}"
        say("error", f"{problem}. The traceback is in the run's log.", exit_code=1)
        sys.exit(1)
    answers.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # all is written; taking torch down in good order would take time that the parent waits for


def _take_over(descriptor: int) -> None:
    """Wait for the log and the locks, and put into the log what was printed until then. The locks stay open
    until this process ends.
    """
    with socket.socket(fileno=descriptor) as theirs:
        _, (log, *_), *_ = socket.recv_fds(theirs, 1, MOST_DESCRIPTORS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.write(log, os.pread(sys.stderr.fileno(), MOST_PRINTED, 0))
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)


def _end_with_parent() -> None:
    """Poll for the pipe's end rather than read for it: the spec comes through it too."""
    pipe = select.poll()
    pipe.register(sys.stdin, 0)
    pipe.poll()
    os._exit(128 + signal.SIGTERM)


class _Stop:
    """What handles a signal that asks to stop.

    Attributes:
        asked: the signal that came.
    """

    def __init__(self) -> None:
        self.asked: int | None = None

    def __call__(self, signum: int, _frame: object) -> None:
        self.asked = signum
        raise InterruptedWork(interruption(signum), signum)


def raise_on_termination() -> None:
    """Make SIGTERM and SIGINT raise an error instead of ending the process, so that work ends in order."""
    stop = _Stop()
    for each in STOPPING:
        signal.signal(each, stop)


def stop_if_asked() -> None:
    """Raise the error of a signal once more, where other code may have swallowed it: Prefect does, between a
    flow's last state and its return.

    Raises:
        InterruptedWork: a signal came since `raise_on_termination`.
    """
    for each in STOPPING:
        handler = signal.getsignal(each)
        if isinstance(handler, _Stop) and handler.asked is not None:
            raise InterruptedWork(interruption(handler.asked), handler.asked)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGTERM and SIGINT back until the block ends, where other code would swallow their error.

    Python lets only the main thread decide on signals; in any other one nothing is held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {each: signal.signal(each, lambda number, _: held.append(number)) for each in STOPPING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        if held:
            signal.raise_signal(held[0])
