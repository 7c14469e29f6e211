"""How fast does a dataset get its predictions? Hallmark against lm-evaluation-harness and plain transformers.

    python benchmarks/inference.py [--repeats 3] [--only NAME ...]
    python benchmarks/inference.py --model DIR --gsm8k FILE --items 200 --max-new-tokens 200
    python benchmarks/inference.py --model DIR --gsm8k FILE --shots 5 --items 100 --max-new-tokens 64

The figures of each contender: the seconds of the whole process, from the shell's point of view; its processor
time, over all threads and child processes, which is steadier on a busy machine; and items per second while it
generates.

Rules:

- The same model, prompts (rendered once, by Hallmark), longest completion, ends, thread count and environment
  variables; greedy, in float32 or, for everybody, in bfloat16, where predictions may differ by rounding.
- Each run has a process of its own. Repeats are interleaved, and the median of each counts. Each contender
  first runs once on eight items, which nobody counts: that makes Hallmark's home and its databases, and warms
  whatever others cache.
- Hallmark does all that it does for anybody: it plans, hashes, predicts, judges, and records under Prefect,
  in a home where both databases exist already; a recorded run is not taken instead. "server up" finds a
  Prefect server that `hallmark server` runs; else a temporary one starts and ends with the command.
- lm-evaluation-harness runs as `lm_eval` does, with its model `hf`, on a task that this script writes, scored
  by its own `regex` and `exact_match`, its samples logged. Plain `generate` gets batches in dataset order,
  padded on the left, or one prompt at a time. Plain vLLM gets all prompts in one call.
- Generation is, for Hallmark, what it records itself, the probe not included; for the others their call of
  `generate_until` or `generate`, which has no loading in it.
- Everybody's predictions are judged by Hallmark's judge. Predictions that are not Hallmark's are counted.
- A GPU is used by all where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
MARK = "RESULT "
FEW = 8
"""Items of the runs that nobody counts."""

WORK = "work.json"
HALLMARK = str(Path(sys.executable).with_name("hallmark"))
VLLM_PYTHON = Path(os.environ.get("HALLMARK_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))


@dataclass(frozen=True)
class Result:
    """One contender's run.

    Attributes:
        generation: seconds of it.
        predictions: trace_id -> what was written.
        whole: seconds of the whole process.
        cpu: seconds of processor time of the whole process and its children.
    """

    generation: float
    predictions: dict[str, str]
    whole: float = 0.0
    cpu: float = 0.0


def prepare(options: argparse.Namespace, folder: Path, name: str, count: int | None) -> Path:
    """Write a dataset of so many items, and its prompts for those who do not render; gives its folder."""
    from golden.datasets import load_dataset, read_items
    from golden.prompting import PromptConfig, resolve_prompt
    from golden.rendering import Renderer
    from golden.tokenizer import load_tokenizer

    folder.mkdir()
    dataset = folder / f"{name}.jsonl"
    shown = {}
    if options.gsm8k:
        lines = golden_lines(options.gsm8k, "test")
        if options.shots:
            shots = folder / "shots-v1.jsonl"
            shots.write_text(
                "".join(golden_lines(options.gsm8k.with_name("train.jsonl"), "train")[: options.shots])
            )
            shown = {"few_shot": str(shots), "num_fewshot": options.shots}
    else:
        lines = load_dataset("golden-v1").path.read_text(encoding="utf-8").splitlines(keepends=True)
    dataset.write_text("".join(lines[:count]), encoding="utf-8")
    items = list(read_items(dataset))
    tokenizer = load_tokenizer(options.model)
    renderer = Renderer(tokenizer, resolve_prompt(PromptConfig(**shown)))
    prompts = [
        {"trace_id": item.trace_id, "text": renderer.text(item), "tokens": tokens, "answer": item.reference}
        for item, tokens in zip(items, renderer.prompts(items), strict=True)
    ]
    ends = {"ids": renderer.ends, "texts": [tokenizer.decode([end]) for end in renderer.ends]}
    work = {"dataset": str(dataset), "prompts": prompts, "ends": ends, "shown": shown}
    (folder / WORK).write_text(json.dumps(work))
    return folder


def golden_lines(path: Path, half: str) -> list[str]:
    """A half of GSM8K (Cobbe et al. 2021, arXiv:2110.14168) as ours."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [golden_line(f"{half}-{number}", row) for number, row in enumerate(rows, start=1)]


def golden_line(trace_id: str, row: dict[str, str]) -> str:
    worked, _, answer = row["answer"].rpartition("####")
    item = {
        "trace_id": trace_id,
        "prompt": row["question"],
        "steps": [step for step in worked.splitlines() if step.strip()],
        "final_answer": answer.strip(),
        "category": "gsm8k",
    }
    return json.dumps(item) + "\n"


def hallmark(work: Path, options: argparse.Namespace, *, home: str, engine: str = "transformers") -> Result:
    """The command, as anybody types it."""
    environment = {**quiet(options), "HALLMARK_HOME": str(work.parent / home)}
    task = json.loads((work / WORK).read_text())
    settings = {
        "dataset": task["dataset"],
        **{f"prompt.{name}": value for name, value in task["shown"].items()},
        "judge": options.judge,
        "reuse": "false",
        "generation.engine": engine,
        "generation.max_new_tokens": options.max_new_tokens,
        "generation.batch_size": options.batch,
        "generation.threads": options.threads,
        "generation.dtype": options.dtype,
    }
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    said = run([HALLMARK, "evaluate", str(options.model), "--json", *given], environment).stdout
    run_folder = work.parent / home / "runs" / json.loads(said)["run_id"]
    meta = json.loads((run_folder / "predictions_meta.json").read_text())
    lines = map(json.loads, (run_folder / "predictions.jsonl").read_text().splitlines())
    return Result(meta["timing"]["seconds"], {line["trace_id"]: line["prediction"] for line in lines})


def apart(work: Path, options: argparse.Namespace, *, name: str, python: str = sys.executable) -> Result:
    """Another contender, in a process of its own that runs this file."""
    arguments = [f"--{each}={getattr(options, each.replace('-', '_'))}" for each in SHARED]
    done = run([python, __file__, *arguments, "--run", name, "--work", str(work)], quiet(options))
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith(MARK))
    return Result(**json.loads(line.removeprefix(MARK)))


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; an error says the last line that it printed."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return done


def quiet(options: argparse.Namespace) -> dict[str, str]:
    """The environment of every contender: that of Hallmark's own child processes."""
    count = str(options.threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "GOMP_SPINCOUNT": "10000",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
    }


def lm_eval(work: Path, options: argparse.Namespace) -> Result:
    """lm-evaluation-harness's own command line, in this process, with a clock around its generation."""
    import torch
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.models.huggingface import HFLM

    task = json.loads((work / WORK).read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prompts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in task["prompts"]))
        document = {
            "task": "golden",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / "prompts.jsonl")}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "text",
            "doc_to_target": "answer",
            "generation_kwargs": {
                "until": task["ends"]["texts"],
                "max_gen_toks": options.max_new_tokens,
                "do_sample": False,
            },
            "filter_list": [
                {
                    "name": "answer",
                    "filter": [
                        {"function": "regex", "regex_pattern": "Answer: ?(.*)"},
                        {"function": "take_first"},
                    ],
                }
            ],
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        }
        (folder / "golden.yaml").write_text(json.dumps(document))  # JSON is YAML
        seconds, generate = 0.0, HFLM.generate_until

        def timed(*arguments: Any, **keywords: Any) -> Any:
            nonlocal seconds
            began = time.perf_counter()
            made = generate(*arguments, **keywords)
            seconds = time.perf_counter() - began
            return made

        HFLM.generate_until = timed
        sys.argv = [
            "lm_eval",
            *("--model", "hf", "--model_args", f"pretrained={options.model},dtype={options.dtype}"),
            *("--tasks", "golden", "--include_path", str(folder)),
            *("--batch_size", str(options.batch)),
            *("--device", "cuda" if torch.cuda.is_available() else "cpu"),
            *("--output_path", str(folder / "out"), "--log_samples"),
        ]
        cli_evaluate()
        samples = next((folder / "out").rglob("samples_*.jsonl"))
        rows = list(map(json.loads, samples.read_text().splitlines()))
        return Result(seconds, {row["doc"]["trace_id"]: row["resps"][0][0] for row in rows})


def generate(work: Path, options: argparse.Namespace, *, batch: int | None = None) -> Result:
    """Plain transformers: batches in dataset order, padded on the left."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    task = json.loads((work / WORK).read_text())
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=options.dtype).to(device).eval()
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else task["ends"]["ids"][0]
    prompts, size, made = task["prompts"], batch or options.batch, dict[str, str]()
    began = time.perf_counter()
    for start in range(0, len(prompts), size):
        some = prompts[start : start + size]
        longest = max(len(each["tokens"]) for each in some)
        rows = [[pad] * (longest - len(each["tokens"])) + each["tokens"] for each in some]
        mask = [[0] * (longest - len(each["tokens"])) + [1] * len(each["tokens"]) for each in some]
        with torch.inference_mode():
            output = model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                do_sample=False,
                max_new_tokens=options.max_new_tokens,
                eos_token_id=task["ends"]["ids"],
                pad_token_id=pad,
            )
        texts = tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)
        made |= {each["trace_id"]: text for each, text in zip(some, texts, strict=True)}
    return Result(time.perf_counter() - began, made)


def vllm(work: Path, options: argparse.Namespace) -> Result:
    """Plain vLLM: every prompt in one call."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    from vllm import LLM, SamplingParams

    task = json.loads((work / WORK).read_text())
    model = LLM(str(options.model), dtype=options.dtype, max_num_seqs=options.batch)
    settings = SamplingParams(
        temperature=0, max_tokens=options.max_new_tokens, stop_token_ids=task["ends"]["ids"]
    )
    prompts = [{"prompt_token_ids": each["tokens"]} for each in task["prompts"]]
    began = time.perf_counter()
    answers = model.generate(prompts, settings)
    seconds = time.perf_counter() - began
    ids = [each["trace_id"] for each in task["prompts"]]
    return Result(seconds, {name: each.outputs[0].text for name, each in zip(ids, answers, strict=True)})


def missing(package: str) -> str | None:
    """Why a contender cannot run; None where it can."""
    return None if util.find_spec(package) else f"{package} is not installed"


def missing_vllm() -> str | None:
    return None if VLLM_PYTHON.is_file() else "no environment with vLLM: make vllm"


Contend = Callable[[Path, argparse.Namespace], Result]
CONTENDERS: dict[str, tuple[str, Callable[[], str | None], Contend]] = {
    "up": ("Hallmark, server up", partial(missing, "torch"), partial(hallmark, home="up")),
    "alone": ("Hallmark, no server", partial(missing, "torch"), partial(hallmark, home="alone")),
    "hallmark-vllm": (
        "Hallmark, vllm, server up",
        missing_vllm,
        partial(hallmark, home="up", engine="vllm"),
    ),
    "lm-eval": (
        "lm-evaluation-harness, hf",
        partial(missing, "lm_eval"),
        partial(apart, name="lm-eval"),
    ),
    "generate": ("generate, in batches", partial(missing, "torch"), partial(apart, name="generate")),
    "one-by-one": ("generate, one by one", partial(missing, "torch"), partial(apart, name="one-by-one")),
    "vllm": ("vllm", missing_vllm, partial(apart, name="vllm", python=str(VLLM_PYTHON))),
}
INSIDE: dict[str, Contend] = {
    "lm-eval": lm_eval,
    "generate": generate,
    "one-by-one": partial(generate, batch=1),
    "vllm": vllm,
}
SHARED = ("model", "batch", "threads", "max-new-tokens", "dtype")
"""Options that processes which run this file get from it."""


@contextmanager
def server(home: Path, options: argparse.Namespace) -> Iterator[None]:
    """Prefect's server of a home, up inside the block."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**quiet(options), "HALLMARK_HOME": str(home)}
    command = [HALLMARK, "server", "--port", str(port)]
    with (home.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise SystemExit(f"hallmark server ended: {(home.parent / 'server.log').read_text()[-2000:]}")
            time.sleep(0.2)
        time.sleep(3)  # its services start
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def measured(contend: Contend, work: Path, options: argparse.Namespace) -> Result | str:
    """Run a contender once. Returns a sentence where it fails."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        found = contend(work, options)
    except RuntimeError as error:
        return f"failed: {error}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(found.generation, found.predictions, time.perf_counter() - began, cpu)


def score(work: Path, predictions: dict[str, str], judge: str) -> float:
    """Mean score by Hallmark's judge."""
    from golden.datasets import read_items
    from judges import judge_items, load_judge

    items = list(read_items(Path(json.loads((work / WORK).read_text())["dataset"])))
    return statistics.fmean(each.score for each in judge_items(items, predictions, load_judge(judge)))


def show(results: dict[str, list[Result | str]], work: Path, judge: str) -> None:
    """Print the table: medians, what Hallmark's are of them, and how many predictions are not Hallmark's."""
    good = {name: [run for run in runs if isinstance(run, Result)] for name, runs in results.items()}
    ours = next((good[name][0].predictions for name in ("up", "alone") if good.get(name)), {})

    def whole(name: str) -> float:
        return statistics.median(run.whole for run in good[name])

    def share(mine: str, name: str) -> str:
        return f"{whole(mine) / whole(name):.2f} x" if good.get(mine) else "-"

    columns = ("whole", "up is", "alone is", "CPU", "generation", "items/s", "others", "score")
    print(" " * 26 + "".join(f"{column:>11}" for column in columns))
    for name, runs in results.items():
        title = CONTENDERS[name][0]
        if not good[name]:
            print(f"{title:26} {runs[-1]}")
            continue
        cpu = statistics.median(run.cpu for run in good[name])
        seconds = statistics.median(run.generation for run in good[name])
        found = good[name][-1].predictions
        cells = (
            f"{whole(name):.1f} s",
            share("up", name),
            share("alone", name),
            f"{cpu:.1f} s",
            f"{seconds:.2f} s",
            f"{len(found) / seconds:.1f}",
            str(sum(found[each].strip() != text.strip() for each, text in ours.items())),
            f"{score(work, found, judge):.2%}",
        )
        print(f"{title:26}" + "".join(f"{cell:>11}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", type=Path, default=ROOT / "golden/base/tiny-base", help="a Hugging Face model directory"
    )
    parser.add_argument("--gsm8k", type=Path, help="GSM8K's test.jsonl, instead of golden-v1")
    parser.add_argument(
        "--shots",
        type=int,
        default=0,
        help="solved examples in each prompt, from train.jsonl beside GSM8K's test",
    )
    parser.add_argument("--items", type=int, help="only the first so many")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--run", choices=INSIDE, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(MARK + json.dumps(asdict(INSIDE[options.run](options.work, options))))
        return
    for path in (options.model / "config.json", *filter(None, [options.gsm8k])):
        if not path.is_file():
            raise SystemExit(f"skipped: {path} is not here")
    if options.shots and not options.gsm8k:
        parser.error("--shots needs --gsm8k: its examples are from train.jsonl beside that file")
    options.model = options.model.absolute()
    options.judge = "answer_correctness@v2" if options.gsm8k else "answer_correctness@v1"
    with tempfile.TemporaryDirectory(prefix="hallmark-bench-") as name:
        folder = Path(name)
        few = prepare(options, folder / "few", "few-v1", FEW)
        work = prepare(options, folder / "work", "work-v1", options.items)
        results = run_all(options, few, work)
        names = ("torch", "transformers", "prefect", "lm_eval", "vllm")
        versions = [f"{each} {metadata.version(each)}" for each in names if util.find_spec(each)]
        count = len(json.loads((work / WORK).read_text())["prompts"])
        print(f"{count} items, {options.model.name}, {options.dtype}, batches of {options.batch}")
        print(f"{options.threads} threads, {options.shots} solved examples in each prompt")
        print(f"{', '.join(versions)}; load {', '.join(f'{each:.1f}' for each in os.getloadavg())}")
        show(results, work, options.judge)


def run_all(options: argparse.Namespace, few: Path, work: Path) -> dict[str, list[Result | str]]:
    """What came of every run of every contender; a sentence where there was none."""
    results: dict[str, list[Result | str]] = {}
    with server(work.parent / "up", options):
        for name in options.only:
            reason = CONTENDERS[name][1]()
            first = f"not run: {reason}" if reason else measured(CONTENDERS[name][2], few, options)
            results[name] = [first] if isinstance(first, str) else []
        able = [name for name in options.only if not results[name]]
        for number in range(options.repeats):
            for name in able:
                found = measured(CONTENDERS[name][2], work, options)
                results[name].append(found)
                text = found if isinstance(found, str) else f"{found.whole:.1f} s, CPU {found.cpu:.1f} s"
                shown = f"repeat {number + 1}: {CONTENDERS[name][0]}: {text} (load {os.getloadavg()[0]:.1f})"
                print(shown, file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    main()
