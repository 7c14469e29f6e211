"""What Prefect costs: the whole experiment as flows on a running server, against the same functions in a
plain script.

    .venv/bin/python benchmarks/overhead.py [--steps 60] [--repeats 3]

Both do the same work in processes of their own, in turns, each in a fresh home: judge the base, train, judge
the trained model, compare, decide, promote. Counted is the time from the start of the work to the verdict,
without imports and without the server's start. The goal: Prefect adds no more than 5 % or 5 s, whichever is
more.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.config import ExperimentConfig
    from experiments.workspace import Workspace

GOAL_SHARE, GOAL_SECONDS = 0.05, 5.0


def main() -> None:
    """Run both in turns and print what the difference is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--one", choices=["plain", "prefect"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(f"seconds {measure(arguments.one, arguments.steps):.3f}")
        return
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(Path(folder) / "server")
        try:
            seconds: dict[str, list[float]] = {"plain": [], "prefect": []}
            for repeat in range(arguments.repeats):
                for way, times in seconds.items():
                    times.append(
                        in_a_process(way, arguments.steps, Path(folder) / f"{way}-{repeat}", address)
                    )
                    print(f"{way:<8} {times[-1]:6.1f} s", flush=True)
        finally:
            server.terminate()
            server.wait()
    plain, prefect = (statistics.median(seconds[way]) for way in ("plain", "prefect"))
    allowed = max(GOAL_SHARE * plain, GOAL_SECONDS)
    print(f"\nmedian of {arguments.repeats}: plain {plain:.1f} s, under Prefect {prefect:.1f} s")
    print(
        f"Prefect adds {prefect - plain:+.1f} s, {100 * (prefect / plain - 1):+.1f} % (goal: no more than "
        f"{allowed:.1f} s)"
    )


def measure(way: str, steps: int) -> float:
    """Run one experiment in this process; gives its seconds."""
    from experiments.config import ExperimentConfig

    config = ExperimentConfig.model_validate({"train": {"steps": steps}})
    if way == "prefect":
        from flows.experiment import experiment

        started = time.perf_counter()
        experiment(config)
        return time.perf_counter() - started
    from experiments.workspace import open_workspace

    workspace = open_workspace()
    started = time.perf_counter()
    plain_experiment(config, workspace)
    return time.perf_counter() - started


def plain_experiment(config: ExperimentConfig, workspace: Workspace) -> None:
    """What flows/experiment.py does, without Prefect."""
    from experiments import phases, plan, promoting, runs
    from experiments.comparing import compare_runs

    def work(planned: plan.RunPlan) -> runs.RunRef:
        run = runs.begin_run(planned, workspace.registry)
        with runs.owned(run, workspace.registry):
            phases.export_dataset(run, planned)
            if planned.training:
                phases.train_model(run, planned, lambda _: None)
            phases.predict_items(run, planned, lambda _: None)
            phases.record_run(run, planned, phases.judge_run(run, planned), workspace.registry)
        return run

    base = work(plan.plan_evaluation(config.evaluate(config.base_model), workspace))
    trained = work(plan.plan_training(config.trained(), workspace))
    comparison = compare_runs(base.run_id, trained.run_id, workspace.registry)
    promoting.promote_if_better(config, base, trained, base, comparison, workspace)


def in_a_process(way: str, steps: int, home: Path, address: str) -> float:
    """The seconds of one experiment in a process of its own, in a fresh home."""
    environment = {
        **os.environ,
        "HALLMARK_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": address,
        "PREFECT_API_AUTH_STRING": "bench:mark",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, __file__, "--one", way, "--steps", str(steps)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def start_server(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A Prefect server as `hallmark up` starts it; gives its address."""
    from hallmark.workstation.setup import wait_for_server

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    environment |= {"HALLMARK_HOME": str(home), "PREFECT_SERVER_API_AUTH_STRING": "bench:mark"}
    command = [str(Path(sys.executable).with_name("hallmark")), "server", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    address = f"http://127.0.0.1:{port}/api"
    wait_for_server(address, "bench:mark", lambda: None)
    return server, address


if __name__ == "__main__":
    main()
