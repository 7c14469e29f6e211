"""How fast is the registry? Hallmark beside MLflow's registry, SQLite both, on the same work in one process.

    python benchmarks/registry.py [--versions 0 1000 10000] [--items 100000] [--repeats 30] [--only promote
    list scores] [--quick] [--json]

Each row is the median and the 95th percentile of interleaved repeats after one that is not counted.

- *promote*: ours is `Registry.offer` with the real gate on the 360 items of golden-v1: champion and candidate
compared,
  all tests and intervals, by category and band, asked twice; then version, alias, chained log and ledger of
  alpha in one transaction. Theirs is `create_model_version` and `set_registered_model_alias`: no gate, no
  hash, no log. The weights are a few bytes and in the store already; hashing has a row of its own.
- *lists*: of a model with many versions. Ours come with metrics, dataset, judge and parents, which theirs do
not have.
- *scores*: a run of many items. Ours are rows with text, score, answer and reason, hashed, in one
transaction. Theirs are
  either points of a metric (`log_batch`, 1000 at a time, no text) or a table (`log_table`: one JSON file, not
  hashed).
- *compare*: the scores of two such runs are read, and our `compare` runs on them, also on theirs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # not this folder, where `registry` is this file

from benchmarks.registry_hallmark import Hallmark  # noqa: E402
from benchmarks.registry_mlflow import MLflow  # noqa: E402
from core.files import sha256_tree  # noqa: E402

LISTS = {
    "newest 20 versions": "newest_versions",
    "all versions": "all_versions",
    "models list": "models",
    "history, newest 50": "history",
    "NAME@champion": "champion",
    "NAME@v2": "numbered",
    "newest 20 runs": "newest_runs",
}
COMMANDS = (
    "models list",
    "models show tiny-reasoner",
    "models history tiny-reasoner",
    "runs list",
    "--version",
)
HASHED_MB = 256
LARGE_REPEATS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds.

    Attributes:
        theirs: empty where MLflow has nothing like it.
    """

    name: str
    ours: list[float]
    theirs: list[float]

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "hallmark": _summary(self.ours),
            "mlflow": _summary(self.theirs),
            "ratio": self.ratio,
        }

    @property
    def ratio(self) -> float | None:
        """How many times faster Hallmark is, by medians."""
        return statistics.median(self.theirs) / statistics.median(self.ours) if self.theirs else None


def _summary(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "median_ms": 1000 * statistics.median(ordered),
        "p95_ms": 1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
    }


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def side_by_side(
    name: str, ours: Callable[[], object], theirs: Callable[[], object] | None, repeats: int
) -> Row:
    """Time both in turns."""
    row = Row(name, [], [])
    for number in range(repeats + 1):
        for work, seconds in ((ours, row.ours), (theirs, row.theirs)):
            if work is not None and (spent := timed(work)) and number:
                seconds.append(spent)
    return row


def promotions(ours: Hallmark, theirs: MLflow, name: str, repeats: int) -> Iterator[Row]:
    row, transaction = Row(name, [], []), Row("  of it the deciding transaction", [], [])
    for number in range(repeats + 1):
        for side, seconds in ((ours, row.ours), (theirs, row.theirs)):
            candidate: Any = side.candidate()
            spent = timed(lambda side=side, candidate=candidate: side.promote(candidate))
            if number:
                seconds.append(spent)
                transaction.ours.extend([ours.transaction] if side is ours else [])
                transaction.theirs.extend([spent] if side is theirs else [])
            side.after_promotion()
    yield row
    yield transaction


def lists(ours: Hallmark, theirs: MLflow, repeats: int) -> Iterator[Row]:
    for name, method in LISTS.items():
        yield side_by_side(
            name,
            getattr(ours, method),
            getattr(theirs, method, None),
            3 if method == "all_versions" else repeats,
        )


def scores(ours: Hallmark, theirs: MLflow, items: int) -> Iterator[Row]:
    values = [float(n % 3 > 0) for n in range(items)]
    categories = {f"item-{n}": f"category-{n % 10}" for n in range(items)}
    runs: dict[str, list[str]] = {"ours": [], "metrics": [], "table": []}

    def write(kind: str, work: Callable[[], str]) -> Callable[[], None]:
        return lambda: runs[kind].append(work())

    for kind, work in (("metrics", theirs.write_metrics), ("table", theirs.write_table)):
        written = write("ours", lambda: ours.write_scores(items)), write(kind, lambda work=work: work(values))
        yield side_by_side(f"write {items:,} scores; MLflow: {kind}", *written, LARGE_REPEATS)
    for kind, read in (("metrics", theirs.compare_metrics), ("table", theirs.compare_tables)):
        yield side_by_side(
            f"compare two runs of {items:,}; MLflow: {kind}",
            lambda: ours.compare(*runs["ours"][:2], categories),
            lambda kind=kind, read=read: read(*runs[kind][:2], categories),
            LARGE_REPEATS,
        )


def commands(ours: Hallmark, repeats: int) -> Iterator[Row]:
    for command in COMMANDS:
        line = [str(Path(sys.executable).with_name("hallmark")), *command.split()]

        def call(line: list[str] = line) -> None:
            environment = {"HALLMARK_HOME": str(ours.home), "COLUMNS": "200"}
            subprocess.run(line, env=environment, capture_output=True, check=True)  # noqa: S603

        yield side_by_side(f"$ hallmark {command}", call, None, repeats)


def hashing(folder: Path) -> Row:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (HASHED_MB * 4096))
    return side_by_side(f"hash {HASHED_MB} MB of weights", lambda: sha256_tree(folder), None, LARGE_REPEATS)


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    ours, theirs = Hallmark(folder / "ours"), MLflow(folder / "theirs")
    for versions in options.versions:
        ours.populate(versions)
        theirs.populate(versions)
        if "promote" in options.only:
            ours.after_promotion()
            yield from promotions(ours, theirs, f"promote, {versions:,} versions before", options.repeats)
    if "list" in options.only:
        yield from lists(ours, theirs, options.repeats)
    if "commands" in options.only:
        yield from commands(ours, LARGE_REPEATS)
    if "scores" in options.only:
        yield from scores(ours, theirs, options.items)
    if "hash" in options.only:
        yield hashing(folder / "hashed")
    if "verify" in options.only:
        yield verified(ours)


def verified(ours: Hallmark) -> Row:
    """Everything hashed again; the only problems are the weights of old versions, which never existed."""
    problems: list[str] = []
    seconds = timed(lambda: problems.extend(map(str, ours.registry.verify())))
    if wrong := [problem for problem in problems if not problem.startswith("artifact")]:
        raise RuntimeError(f"verify: {wrong[:3]}")
    return Row("verify everything", [seconds], [])


def show(row: Row) -> None:
    cells = [
        f"{s['median_ms']:9.1f} {s['p95_ms']:9.1f}" if (s := _summary(side)) else f"{'-':>9} {'':9}"
        for side in (row.ours, row.theirs)
    ]
    print(f"{row.name:52}{cells[0]}  {cells[1]}  {f'{row.ratio:.1f} x' if row.ratio else '-':>9}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--versions",
        type=int,
        nargs="+",
        default=[0, 1000, 10_000],
        help="existing versions at which to promote",
    )
    parser.add_argument("--items", type=int, default=100_000, help="items of a large run")
    parser.add_argument("--repeats", type=int, default=30)
    parts = ("promote", "list", "commands", "scores", "hash", "verify")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--quick", action="store_true", help="a small run, to see that everything works")
    parser.add_argument(
        "--folder", type=Path, help="where the databases are made; default: the folder for temporary files"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.versions, options.items, options.repeats = [0, 50], 2000, 3
    rows: list[Row] = []
    if not options.json:
        print(f"mlflow {version('mlflow')}, Python {sys.version.split()[0]}; milliseconds\n")
        print(f"{'':52}{'Hallmark':>9} {'p95':>9}  {'MLflow':>9} {'p95':>9}  {'faster':>9}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for row in measure(options, Path(folder)):
            rows.append(row)
            if not options.json:
                show(row)
    if options.json:
        print(json.dumps({"mlflow": version("mlflow"), "rows": [row.document() for row in rows]}, indent=2))


if __name__ == "__main__":
    main()
