"""How long does `hallmark golden guard` take for large sets, and how much memory? As a person runs it: a
process of its own, from reading both files to the report.

The items are GSM8K's training questions with a third of their words replaced at random, so that hardly two
are alike; training items bring the worked answer, too. Every hundredth training item is a golden one behind
another word, and each of those must be found.

    python benchmarks/guard.py GSM8K_TRAIN_JSONL [--golden 200000] [--train 300000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

EVERY = 100
"""Each so many training items, one is a golden one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("gsm8k", type=Path, help="train.jsonl of GSM8K: question and answer in each line")
    parser.add_argument("--golden", type=int, default=200_000, help="golden items")
    parser.add_argument("--train", type=int, default=300_000, help="training items")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.gsm8k.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        golden, train = Path(folder) / "golden-v1.jsonl", Path(folder) / "train-v1.jsonl"
        asked = write(golden, made(rows, args.golden, seed=1))
        write(train, planted(made(rows, args.train, seed=2, steps=True), asked))
        report = Path(folder) / "report.json"
        started = time.monotonic()
        with report.open("wb") as out:
            command = [str(Path(sys.executable).with_name("hallmark")), "golden", "guard", train, golden]
            child = subprocess.Popen([*command, "--json"], stdout=out)  # noqa: S603 - Hallmark itself
            _, _, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
        found = json.loads(report.read_bytes())
    ids = {overlap["train_id"] for overlap in found["leaks"]}
    expected = {f"train-{number}" for number in range(0, args.train, EVERY)}
    print(f"{args.golden:,} golden items, {args.train:,} training items")
    print(f"found {len(ids & expected):,} of {len(expected):,} planted, {len(ids - expected):,} others")
    print(f"twins {len(found['twins']):,}")
    print(
        f"{seconds:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU, {used.ru_maxrss // 1024} MiB at most"
    )


def made(
    rows: list[dict[str, str]], count: int, seed: int, steps: bool = False
) -> Iterator[dict[str, object]]:
    """Questions with a third of their words replaced."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    words = sorted({word for row in rows for word in row["question"].split()})
    for _ in range(count):
        row = draw.choice(rows)
        asked = row["question"].split()
        for _ in range(len(asked) // 3):
            asked[draw.randrange(len(asked))] = draw.choice(words)
        worked, _, answer = row["answer"].rpartition("####")
        yield {
            "prompt": " ".join(asked),
            "steps": [worked[:250]] if steps else [],
            "final_answer": answer.strip(),
            "category": "gsm8k",
        }


def planted(items: Iterator[dict[str, object]], asked: list[str]) -> Iterator[dict[str, object]]:
    """The same items, of which some hold a golden prompt."""
    for number, item in enumerate(items):
        prompt = f"Solve: {asked[number % len(asked)]}" if number % EVERY == 0 else item["prompt"]
        yield {**item, "prompt": prompt}


def write(path: Path, items: Iterator[dict[str, object]]) -> list[str]:
    """Write a dataset; returns its prompts."""
    key, prompts = path.stem.partition("-")[0], []
    with path.open("w", encoding="utf-8") as file:
        for number, item in enumerate(items):
            file.write(json.dumps({"trace_id": f"{key}-{number}", **item}) + "\n")
            prompts.append(str(item["prompt"]))
    return prompts


if __name__ == "__main__":
    main()
