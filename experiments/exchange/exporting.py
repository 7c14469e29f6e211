"""A finished run as a file that other programs read, and that can be imported again."""

from __future__ import annotations

import json
import math
import statistics
import zipfile
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, get_args

from core.errors import InputError, ResourceError
from core.files import atomic_writer, canonical_json, sha256_bytes, write_json
from core.suggestions import did_you_mean
from experiments.exchange.recorded import Judged, RecordedRun, Sampled, recorded
from registry import Registry

ExportFormat = Literal["jsonl", "parquet", "inspect", "lm-eval"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
ENDINGS: dict[str, ExportFormat] = {
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".eval": "inspect",
    ".json": "inspect",
}
BATCH = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of each file in a zip: equal runs give equal bytes."""


def export_run(
    reference: str,
    path: Path,
    registry: Registry,
    format: str | None = None,  # noqa: A002 - what the option is called
    force: bool = False,
) -> list[Path]:
    """Write a run's items, predictions and scores for other programs. Imported again, predictions are equal.

    Args:
        reference: run id, or a unique beginning or end of one.
        path: a file; of lm-eval a directory, which gets `samples_DATASET_DATE.jsonl` and `results_DATE.json`.
        registry: holds the run.
        format: jsonl, parquet, inspect or lm-eval; None: by the path's ending.
        force: replace files that are there.

    Returns:
        What was written.

    Raises:
        InputError: the run is unknown or not finished, the format is not known or does not fit the path, or a
            file is there.
        ResourceError: it cannot be written, or pyarrow is missing.

    Example:
        >>> export_run("20261124-1015", Path("base.eval"), registry)
        [PosixPath('base.eval')]
    """
    chosen = _format(path, format)
    run = recorded(reference, registry)
    if chosen == "lm-eval":
        return _lm_eval(run, path, force)
    _refuse_existing([path], force)
    write = {"jsonl": _jsonl, "parquet": _parquet}.get(chosen) or (
        _inspect_zip if path.suffix == ".eval" else _inspect_json
    )
    with atomic_writer(path) as file:
        write(run, file)
    return [path]


def _format(path: Path, named: str | None) -> ExportFormat:
    by_ending = ENDINGS.get(path.suffix.lower())
    chosen = next((each for each in EXPORT_FORMATS if each == named), None) or (
        by_ending if named is None else None
    )
    if chosen is None:
        given = f"--format {named}: unknown" if named else f"{path}: its ending says no format"
        meant = did_you_mean(named or "", EXPORT_FORMATS)
        raise InputError(f"{given}; formats are {', '.join(EXPORT_FORMATS)}: name one with --format.{meant}")
    endings = [ending for ending, each in ENDINGS.items() if each == chosen]
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"{path}: a file of the format {chosen} ends in {' or '.join(endings)}")
    if not endings and path.is_file():
        raise InputError(f"{path}: is a file; {chosen} is written to a directory")
    return chosen


def _refuse_existing(paths: list[Path], force: bool) -> None:
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: is a directory. Name a file.")
        if path.exists() and not force:
            raise InputError(f"{path}: is there already. Give another name, or --force replaces it.")


def _row(judged: Judged) -> dict[str, Any]:
    item, row = judged.item, judged.row
    samples = [each._asdict() for each in judged.completions]
    return {
        "trace_id": item.trace_id,
        "category": item.category,
        "messages": judged.asked,
        "final_answer": item.accepted,
        "prediction": row.prediction,
        "score": row.score,
        "extracted": row.extracted,
        "rung": row.rung,
        "reason": row.reason,
        "cut_off": judged.cut_off,
        **({} if row.samples is None else {"samples": samples}),
    }


def _jsonl(run: RecordedRun, file: IO[bytes]) -> None:
    for judged in run.judged():
        file.write(canonical_json(_row(judged)).encode() + b"\n")


def _parquet(run: RecordedRun, file: IO[bytes]) -> None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ResourceError("exporting Parquet needs pyarrow: pip install 'hallmark[data]'") from None
    text = arrow.string()
    turns = arrow.list_(arrow.struct([("role", text), ("content", text)]))
    kinds = {"messages": turns, "final_answer": arrow.list_(text), "score": arrow.float64()}
    kinds["cut_off"] = arrow.bool_()
    names = ("trace_id", "category", "messages", "final_answer", "prediction", "score", "extracted", "rung")
    said = ("prediction", "extracted", "rung", "reason")
    others = (("score", arrow.float64()), ("cut_off", arrow.bool_()))
    sample = arrow.struct([*((name, text) for name in said), *others])
    kinds["samples"] = arrow.list_(sample)
    more = ("reason", "cut_off", *(["samples"] if run.samples > 1 else []))
    schema = arrow.schema([(name, kinds.get(name, text)) for name in (*names, *more)])
    schema = schema.with_metadata({"hallmark": canonical_json(run.about)})
    rows = map(_row, run.judged())
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))


def _samples(run: RecordedRun, judged: Judged) -> list[dict[str, Any]]:
    """An item as samples of inspect_ai: each of its completions is an epoch."""
    return [_sample(run, judged, epoch, row) for epoch, row in enumerate(judged.completions, start=1)]


def _sample(run: RecordedRun, judged: Judged, epoch: int, row: Sampled) -> dict[str, Any]:
    item = judged.item
    answer = {"role": "assistant", "content": row.prediction, "source": "generate"}
    stop = "max_tokens" if row.cut_off else "stop" if row.cut_off is False else "unknown"
    said = {"reason": row.reason, **({"rung": row.rung} if row.rung else {})}
    return {
        "id": item.trace_id,
        "epoch": epoch,
        "input": judged.asked,
        "target": item.accepted if len(item.accepted) > 1 else item.reference,
        "messages": [*judged.asked, answer],
        "output": {
            "model": _model(run),
            "choices": [{"message": answer, "stop_reason": stop}],
            "completion": row.prediction,
        },
        "scores": {
            run.metric: {
                "value": row.score,
                "answer": row.extracted,
                "explanation": row.reason,
                "metadata": said,
            }
        },
        "metadata": {"category": item.category},
    }


def _header(run: RecordedRun, ids: list[str]) -> dict[str, Any]:
    """A log of inspect_ai without its samples."""
    row, known = run.run, run.settings
    config = {
        name: known[f"generation.{setting}"]
        for name, setting in (("max_tokens", "max_new_tokens"), ("temperature", "temperature"))
        if isinstance(known.get(f"generation.{setting}"), int | float)
    }
    if stop := known.get("prompt.stop"):
        config["stop_seqs"] = stop
    finished, total = row.finished_at or row.started_at, len(ids) * run.samples
    epochs = {"epochs": run.samples, **({"epochs_reducer": ["mean"]} if run.samples > 1 else {})}
    plan = {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": config}
    score = {
        "name": run.metric,
        "scorer": run.metric,
        **({"reducer": "mean"} if run.samples > 1 else {}),
        "scored_samples": len(ids),
        "unscored_samples": 0,
        "params": {},
        "metrics": {"mean": {"name": "mean", "value": run.score, "params": {}}},
    }
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": row.run_id,
            "run_id": row.run_id,
            "created": row.started_at,
            "task": run.dataset,
            "task_id": row.run_id,
            "task_version": 0,
            "dataset": {"name": run.dataset, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": _model(run),
            "model_generate_config": config,
            "model_args": {},
            "config": epochs,
            "packages": {"hallmark": run.about["version"]},
            "metadata": {"hallmark": run.about},
            "scorers": [{"name": run.metric, "metrics": [{"name": "inspect_ai/mean"}]}],
        },
        "plan": plan,
        "results": {"total_samples": total, "completed_samples": total, "scores": [score]},
        "stats": {"started_at": row.started_at, "completed_at": finished},
    }


def _model(run: RecordedRun) -> str:
    return f"hallmark/{run.run.base_model}"


def _inspect_json(run: RecordedRun, file: IO[bytes]) -> None:
    ids = list(run.registry.runs.scores(run.run.run_id))
    header = canonical_json(_header(run, ids))
    file.write(header.removesuffix("}").encode() + b',"samples":[')
    samples = (sample for judged in run.judged() for sample in _samples(run, judged))
    for number, sample in enumerate(samples):
        file.write((b"," if number else b"") + canonical_json(sample).encode())
    file.write(b"]}\n")


def _inspect_zip(run: RecordedRun, file: IO[bytes]) -> None:
    ids: list[str] = []
    summaries: list[dict[str, Any]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:

        def add(name: str, document: Any) -> None:
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            packed.writestr(info, canonical_json(document))

        for judged in run.judged():
            ids.append(judged.item.trace_id)
            for sample in _samples(run, judged):
                add(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
                summaries.append(
                    {name: sample[name] for name in ("id", "epoch", "input", "target", "scores", "metadata")}
                    | {"completed": True}
                )
        header = _header(run, ids)
        add("_journal/start.json", {name: header[name] for name in ("version", "eval", "plan")})
        add("summaries.json", summaries)
        add("header.json", header)


def _lm_eval(run: RecordedRun, folder: Path, force: bool) -> list[Path]:
    """Samples and results, as lm-evaluation-harness names and writes them."""
    finished = (run.run.finished_at or run.run.started_at).removesuffix("+00:00").replace(":", "-")
    samples, results = folder / f"samples_{run.dataset}_{finished}.jsonl", folder / f"results_{finished}.json"
    _refuse_existing([samples, results], force)
    known, scores = run.settings, list[float]()
    asked_with: dict[str, Any] = {"until": known.get("prompt.stop", [])}
    if "generation.max_new_tokens" in known:
        asked_with["max_gen_toks"] = known["generation.max_new_tokens"]
    if "generation.temperature" in known:
        asked_with["temperature"] = known["generation.temperature"]
        asked_with["do_sample"] = known["generation.temperature"] > 0
    with atomic_writer(samples) as file:
        for number, judged in enumerate(run.judged()):
            scores.append(judged.row.score)
            line = _lm_eval_sample(run, number, judged, asked_with)
            file.write(canonical_json(line).encode() + b"\n")
    write_json(results, _lm_eval_results(run, scores, asked_with))
    return [samples, results]


def _lm_eval_sample(
    run: RecordedRun, number: int, judged: Judged, asked_with: dict[str, Any]
) -> dict[str, Any]:
    item, row = judged.item, judged.row
    text = run.prompt_text(judged.asked)
    prompt: Any = [json.dumps(judged.asked, ensure_ascii=False)] if text is None else text
    doc, texts = item.model_dump(), row.texts
    cut = [each.cut_off for each in judged.completions]
    return {
        "doc_id": number,
        "doc": doc,
        "target": item.reference,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": asked_with}},
        "resps": [texts],
        "filtered_resps": texts if len(texts) == 1 else [texts],
        "filter": "none",
        "metrics": [run.metric],
        "doc_hash": sha256_bytes(canonical_json(doc).encode()),
        "prompt_hash": sha256_bytes(str(prompt).encode()),
        "target_hash": sha256_bytes(item.reference.encode()),
        run.metric: row.score,
        "extracted": row.extracted,
        "reason": row.reason,
        "rung": row.rung,
        **({} if None in cut else {"cut_off": cut[0] if len(cut) == 1 else cut}),
    }


def _lm_eval_results(run: RecordedRun, scores: list[float], asked_with: dict[str, Any]) -> dict[str, Any]:
    task, metric, n = run.dataset, run.metric, len(scores)
    spread = statistics.stdev(scores) / math.sqrt(n) if n > 1 else 0.0
    return {
        "results": {task: {"alias": task, f"{metric},none": run.score, f"{metric}_stderr,none": spread}},
        "group_subtasks": {task: []},
        "configs": {
            task: {
                "task": task,
                "output_type": "generate_until",
                "generation_kwargs": asked_with,
                "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
                "repeats": run.samples,
            }
        },
        "versions": {task: 0},
        "n-shot": {
            task: 0 if run.settings.get("prompt.few_shot") is None else run.settings["prompt.num_fewshot"]
        },
        "higher_is_better": {task: {metric: True}},
        "n-samples": {task: {"original": n, "effective": n}},
        "config": {"model": "hallmark", "model_args": {"pretrained": run.run.base_model}},
        "hallmark": run.about,
    }
