"""Recorded predictions for a dataset that was changed since: those of items that are asked as they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core.errors import InputError, IntegrityError
from core.files import canonical_json, open_for_reading, read_jsonl, sha256_bytes, sha256_file
from experiments.run_files import files_of, is_here
from golden.prompting import ResolvedPrompt
from golden.rendering import own_turns, system_text
from golden.schema import Item
from registry import Registry, Run
from registry.tables import Prediction

SHOWN = 5
"""Items that an error names."""

BY_ITEM = (
    "truncated_prompts",
    "reached_max_new_tokens",
    "cut_samples",
    "thinking_closed",
    "ended_otherwise",
)
"""Fields of predictions_meta.json that name items."""


def asked(item: Item, prompt: ResolvedPrompt, output: str) -> str:
    """Everything of an item that decides what a model gives for it, as one text.

    Args:
        item: of a golden dataset.
        prompt: how the model is asked.
        output: `text`, or `log_probs`, for which the texts that are scored count too.
    """
    scored = (list(item.offered) or [item.reference]) if output == "log_probs" else []
    return canonical_json([system_text(item, prompt), own_turns(item, prompt), scored])


def asked_as_before(
    before: Iterable[Item], after: Iterable[Item], prompt: ResolvedPrompt, output: str, name: str
) -> list[str]:
    """The ids of a dataset's items, each of which was predicted as it is asked now.

    Args:
        before: the items that were predicted.
        after: those that predictions are wanted for.
        prompt: how the model was asked.
        output: what it was asked for.
        name: of the second dataset.

    Raises:
        InputError: an item is new, or asked otherwise; names the first ones.
    """
    known = {item.trace_id: hash(asked(item, prompt, output)) for item in before}
    ids, new, changed = list[str](), list[str](), list[str]()
    for item in after:
        ids.append(item.trace_id)
        if item.trace_id not in known:
            new.append(item.trace_id)
        elif known[item.trace_id] != hash(asked(item, prompt, output)):
            changed.append(item.trace_id)
    problems = [
        f"{len(found)} {'is' if len(found) == 1 else 'are'} {what} ({_some(found)})"
        for found, what in ((new, "new"), (changed, "asked otherwise than then"))
        if found
    ]
    if problems:
        raise InputError(f"of the {len(ids)} items of {name} {' and '.join(problems)}")
    return ids


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")


def recorded_lines(source: Run, sha256: str, registry: Registry) -> Iterator[tuple[str, bytes]]:
    """The lines of a run's predictions.jsonl by trace_id, from its folder, or from the registry's rows where
    the folder is gone. Whoever reads all of them knows that they are the recorded ones.

    Args:
        source: the run.
        sha256: of the whole file, as it was recorded.
        registry: holds the run.

    Raises:
        IntegrityError: they are not the bytes that were recorded.
    """
    path = files_of(source, registry).predictions
    if is_here(path):
        if (found := sha256_file(path)) != sha256:
            raise changed_since(str(path), sha256, found)
        with open_for_reading(path) as file:
            for line, (_, value) in zip(file, read_jsonl(path, any_text=True), strict=True):
                yield value["trace_id"], line
        return
    lines = []
    for row in registry.runs.each_prediction(source.run_id):
        lines.append(canonical_json({"trace_id": row.trace_id, **written(row)}).encode() + b"\n")
        yield row.trace_id, lines[-1]
    if (found := sha256_bytes(b"".join(lines))) != sha256:
        raise changed_since(f"the registry's predictions of run {source.run_id}", sha256, found)


def changed_since(where: str, expected: str, found: str) -> IntegrityError:
    """That predictions are not those that a run recorded."""
    return IntegrityError(f"{where}: changed since the run: expected sha256 {expected}, found {found}.")


def written(row: Prediction) -> dict[str, Any]:
    """What a recorded prediction is in predictions.jsonl, beside its trace_id."""
    return {"prediction": row.prediction} if row.samples is None else {"predictions": row.texts}


def meta_of_some(meta: dict[str, Any], ids: Sequence[str], predictions_sha256: str) -> dict[str, Any]:
    """predictions_meta.json for some items. Sums of tokens and times stay those of the job that predicted.

    Args:
        meta: as it was recorded for all.
        ids: those that are left.
        predictions_sha256: of their predictions.jsonl.
    """
    left = set(ids)

    def of_left(value: Any) -> Any:
        if isinstance(value, list):
            return [trace_id for trace_id in value if trace_id in left]
        if isinstance(value, dict):
            return {trace_id: why for trace_id, why in value.items() if trace_id in left}
        return value

    by_item = {name: of_left(meta[name]) for name in BY_ITEM if name in meta}
    return {**meta, **by_item, "items": len(ids), "predictions_sha256": predictions_sha256}
