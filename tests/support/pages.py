"""The documentation as its readers use it: the commands on each page, and a place to run them in."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.references import TINY_BASE_DIRECTORY
from tests.support.recorded_runs import record_baseline, record_from, right_for, workspace_at
from tests.support.warm_processes import run_hallmark

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "deployments/*.md")
    for page in PROJECT.glob(pattern)
    if page.name != "commands.md"
)
SHELLS = ("sh", "bash", "console", "shell")
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)

FIRST = '"${BASELINE:-$(ls "$HALLMARK_HOME/runs" | head -1)}"'
LAST = '"${CANDIDATE:-$(ls "$HALLMARK_HOME/runs" | tail -1)}"'

STAND_INS = {
    "RUN RUN": f"{FIRST} {LAST}",
    "BASELINE": FIRST,
    "CANDIDATE": LAST,
    "RUN": LAST,
    "MODEL": "tiny-base --limit 20",
    "DATA.jsonl": "support-v1.jsonl",
}
"""What is run where a page leaves the name to the reader; the runs are those of the environment, else the
oldest and the newest.
"""


@dataclass(frozen=True)
class Block:
    """Commands on a page.

    Attributes:
        page: the file.
        line: of its first command, from 1.
        text: the commands.
        why: what keeps a test from running it; None where one runs it.
    """

    page: Path
    line: int
    text: str
    why: str | None

    @property
    def where(self) -> str:
        """The place, as an editor opens it."""
        return f"{self.page.relative_to(PROJECT)}:{self.line}"

    @property
    def script(self) -> str:
        """The commands with stand-ins."""
        names = "|".join(map(re.escape, STAND_INS))
        text = re.sub(rf"\b({names})\b", lambda found: STAND_INS[found[1]], self.text)
        return f"echo '== {self.where}' >&2\n{text}"


def blocks(page: Path) -> list[Block]:
    """The blocks of commands of a page."""
    text = page.read_text()
    return [
        Block(page, text[: found.start("text")].count("\n") + 1, found["text"], found["why"])
        for found in BLOCK.finditer(text)
        if found["language"] in SHELLS
    ]


def run_blocks(chosen: Sequence[Block], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run blocks one after the other in one shell, which stops at the first command that fails."""
    script = "\n".join(["set -euo pipefail", *(block.script for block in chosen)])
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HALLMARK_")}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**plain, "PATH": programs, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def materials(folder: Path, home: Path) -> None:
    """Fill a folder with what the how-to pages speak of: data and models, and a home.

    Args:
        folder: to work in; it is the reader's home folder too.
        home: what `.hallmark` is.
    """
    (folder / ".hallmark").symlink_to(home)
    for place in ("my-model", "models/Qwen3-0.6B"):
        shutil.copytree(TINY_BASE_DIRECTORY, folder / place)
    (folder / "data").mkdir()
    golden = [_item(number, "golden") for number in range(20)]
    _lines(folder / "data/support-v1.jsonl", golden)
    _lines(folder / "support-v1.jsonl", golden)
    _lines(folder / "data/train-v3.jsonl", [_item(number, "training") for number in range(40)])
    _lines(
        folder / "answers.jsonl", [{"trace_id": row["trace_id"], "prediction": "Answer: 1"} for row in golden]
    )
    for name, count in (("test", 120), ("train", 150)):
        rows = [_gsm8k(name, number) for number in range(count)]
        _lines(folder / f"{name}.jsonl", rows)
    tickets = "".join(
        f"Which key has number {number} of {number + 7}?,{number},keys\n" for number in range(30)
    )
    (folder / "tickets.csv").write_text(f"question,answer,topic\n{tickets}")


def recorded(home: Path) -> dict[str, str]:
    """Record two runs in a home, and let the better one become champion; gives the environment with both."""
    workspace = workspace_at(home)
    baseline = record_baseline(workspace)
    trained = record_from(workspace, "tiny-base", right_for(0.8), "trained")
    workspace.registry.close()
    environment = {**os.environ, "HALLMARK_HOME": str(home)}
    promoted = run_hallmark(["promote", trained.run_id, "--model-name", "tiny-reasoner"], environment, home)
    assert "PROMOTED" in promoted.stdout, promoted.stderr
    return {"HALLMARK_HOME": str(home), "BASELINE": baseline.run_id, "CANDIDATE": trained.run_id}


def _item(number: int, what: str) -> dict[str, object]:
    prompt = f"What is {number} + {number * 7 % 13} in the {what} house?"
    about = {"trace_id": f"{what}-{number}", "steps": [], "category": "sums"}
    return {**about, "prompt": prompt, "final_answer": str(number + number * 7 % 13)}


def _gsm8k(name: str, number: int) -> dict[str, str]:
    question = {
        "test": f"Farm {number} has {number} eggs, and its hens lay {number + 3} more. How many are there?",
        "train": f"A van with {number} parcels stops to take {number + 3} parcels on. What is on board?",
    }[name]
    return {"question": question, "answer": f"{number}+{number + 3}={2 * number + 3}\n#### {2 * number + 3}"}


def _lines(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def commands(block: Block) -> Iterator[list[str]]:
    """Each call of `hallmark` in a block, as words without the program's name."""
    text = block.text.replace("\\\n", " ")
    lexer = shlex.shlex(text.replace("\n", "\n;\n"), posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    call: list[str] = []
    for word in [*lexer, ";"]:
        if not re.fullmatch(r"[;&|()]+", word):
            call.append(word)
            continue
        yield from _calls(call)
        call = []


def _calls(words: list[str]) -> Iterator[list[str]]:
    for place, word in enumerate(words):
        if Path(word).name == "hallmark" and all(
            "=" in before or before in CALLERS for before in words[:place]
        ):
            arguments = words[place + 1 :]
            if any(re.fullmatch(r"[<>]+", each) for each in arguments):
                arguments = arguments[
                    : next(n for n, each in enumerate(arguments) if re.fullmatch(r"[<>]+", each))
                ]
            yield arguments
            return


CALLERS = ("dc", "exec", "worker", "$")
"""Words before `hallmark` that run it."""
