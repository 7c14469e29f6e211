"""Is a golden dataset fit to decide on? Everything that is wrong with it at once, and the proof at freezing
that it can be won.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from core.config import Record
from core.errors import InputError
from evaluation.groups import group_of, independent
from evaluation.power import power_plan
from experiments.defaults import TINY_MAX_NEW_TOKENS
from experiments.lint_rules import (
    Finding,
    Lines,
    Rule,
    TokenCounter,
    near_copies,
    read_lines,
    same_prompts,
    small_categories,
    too_long,
    unanswerable,
)
from experiments.names import TINY_BASE
from experiments.references import TINY_BASE_DIRECTORY, resolve_model
from experiments.workspace import open_workspace
from golden.datasets import Dataset, load_dataset
from golden.freezing import freeze, refuse_frozen
from golden.manifest import DEFAULT_JUDGE, Manifest
from golden.schema import Item, Trace
from inference.contract import LONGEST
from judges import Judge, judge_reference, load_judge

NAMED_AT_FREEZE = 10


class Lint(Record):
    """What `hallmark golden check` found.

    Attributes:
        name: key and version.
        path: the file.
        sha256: of the file.
        frozen: whether a manifest pins it.
        train: whether it was looked at as a training set: only whether each line is a trace, with an id of
            its own.
        judge: NAME@vN; its answers were proved by it.
        model: whose tokenizer counted tokens.
        max_new_tokens: the longest completion that fits.
        items: how many good lines it has.
        categories: category -> items.
        errors: what makes decisions wrong; in file order, rule by rule.
        warnings: what makes them weaker than they look.
        skipped: rule -> why it was not looked at.
        can_show: in words, how large a gain must be to be found with it; empty without items.
    """

    name: str
    path: str
    sha256: str
    frozen: bool
    train: bool = False
    judge: str
    model: str
    max_new_tokens: int
    items: int
    categories: dict[str, int]
    errors: list[Finding]
    warnings: list[Finding]
    skipped: dict[Rule, str]
    can_show: list[str]


class Frozen(Record):
    """A dataset that was just frozen.

    Attributes:
        manifest: what pins it.
        warnings: prompts that occur more than once.
        can_show: in words, how large a gain must be to be found with it.
    """

    manifest: Manifest
    warnings: list[Finding]
    can_show: list[str]


def lint(
    reference: str | Path,
    judge: str | None = None,
    model: str = TINY_BASE,
    max_new_tokens: int | None = None,
    train: bool = False,
) -> Lint:
    """Find everything that is wrong with a golden dataset, or worth a look.

    Args:
        reference: a built-in name, or the path of a `KEY-vN.jsonl` file.
        judge: NAME@vN; by default the one that the dataset is meant for.
        model: whose tokenizer counts the tokens of the answers.
        max_new_tokens: the longest completion that fits; by default that of an experiment with the tiny
            base; with any other model all that there may be, since an experiment fits it to the references.
        train: look at it as a training set, as at one whose manifest says so.

    Raises:
        InputError: no such dataset, model or judge. What is wrong inside the file is a finding.
        IntegrityError: the file is not the one that its manifest pins.

    Example:
        >>> report = lint("golden-v1")
        >>> report.items, report.errors, report.warnings
        (360, [], [])
    """
    dataset = load_dataset(reference)
    used = load_judge(judge or dataset.judge)
    longest = max_new_tokens or (TINY_MAX_NEW_TOKENS if model == TINY_BASE else LONGEST)
    if train or (dataset.manifest and dataset.manifest.purpose == "training"):
        return _training_lint(dataset, judge_reference(used), model, longest)
    counter = _token_counter(model)
    lines, findings = read_lines(dataset.path, Item)
    findings += [*unanswerable(lines, used), *same_prompts(lines, used)]
    if not isinstance(counter, str):
        findings += too_long(lines, counter, longest)
    findings += [*near_copies(lines), *small_categories(lines)]
    return Lint(
        name=dataset.name,
        path=str(dataset.path),
        sha256=dataset.sha256,
        frozen=dataset.manifest is not None,
        judge=judge_reference(used),
        model=model,
        max_new_tokens=longest,
        items=len(lines.items),
        categories=dict(sorted(Counter(item.category for item in lines.items).items())),
        errors=[finding for finding in findings if finding.is_error],
        warnings=[finding for finding in findings if not finding.is_error],
        skipped={"cut_steps": counter} if isinstance(counter, str) else {},
        can_show=can_show(dataset.name, lines.items),
    )


def _training_lint(dataset: Dataset, judge: str, model: str, longest: int) -> Lint:
    lines, findings = read_lines(dataset.path, Trace)
    return Lint(
        name=dataset.name,
        path=str(dataset.path),
        sha256=dataset.sha256,
        frozen=dataset.manifest is not None,
        train=True,
        judge=judge,
        model=model,
        max_new_tokens=longest,
        items=len(lines.items),
        categories=dict(sorted(Counter(trace.category for trace in lines.items if trace.category).items())),
        errors=findings,
        warnings=[],
        skipped={},
        can_show=[],
    )


def can_show(name: str, items: Sequence[Item]) -> list[str]:
    """In words, how large a gain must be to be found with these items; empty without any."""
    if not items:
        return []
    groups = independent([item.trace_id for item in items], group_of(items))
    return power_plan(name, len(items), groups).sentences()


def _token_counter(model: str) -> TokenCounter | str:
    """What counts the tokens of texts, or why nothing can."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return "needs the package tokenizers (the extra inference brings it)"
    path = TINY_BASE_DIRECTORY if model == TINY_BASE else resolve_model(model, open_workspace()).directory
    if not (path / "tokenizer.json").is_file():
        return f"{model} has no tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:  # the library has no class of its own for this
        return f"{path / 'tokenizer.json'} cannot be read ({error})"

    def count(texts: Sequence[str]) -> list[int]:
        return [len(found) for found in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    return count


def freeze_dataset(
    reference: str | Path, licence: str, made_by: str, judge: str | None = None, train: bool = False
) -> Frozen:
    """Prove that a dataset can be won, and write its manifest.

    Args:
        reference: the path of a `KEY-vN.jsonl` file without a manifest.
        licence: SPDX identifier of the data's licence.
        made_by: how the items were made.
        judge: NAME@vN of the judge that the set is meant for; it becomes the default for the set.
        train: it is a training set, of which nothing has to be proved.

    Raises:
        InputError: it is frozen already; an item is unusable; an item's own reference, rendered as a
            completion, does not score 1; or equal prompts have contradicting answers. Names the items.
    """
    dataset = load_dataset(reference)
    refuse_frozen(dataset)
    if train:
        return Frozen(manifest=freeze(dataset, licence, made_by, train=True), warnings=[], can_show=[])
    items = list(dataset.items())
    used = load_judge(judge or DEFAULT_JUDGE)
    warnings = proved(
        items,
        used,
        f"{dataset.path}: not frozen",
        f"`hallmark golden check {dataset.path}` shows them",
        "Repair or remove them, or name the judge that the set is meant for (--judge NAME@vN).",
    )
    manifest = freeze(dataset, licence, made_by, judge and judge_reference(used))
    return Frozen(manifest=manifest, warnings=warnings, can_show=can_show(dataset.name, items))


def proved(items: Sequence[Item], judge: Judge, refused: str, more: str, remedy: str) -> list[Finding]:
    """Prove that a golden set can be won: that each accepted answer scores 1 by its judge, and that equal
    prompts have no contradicting answers.

    Args:
        items: all of them, in file order.
        judge: the set's.
        refused: how the error begins: the set, and what is not done with it.
        more: where to see the findings that the error leaves out.
        remedy: what to do.

    Returns:
        Warnings: prompts that occur more than once.

    Raises:
        InputError: it cannot be won; names the first items.
    """
    lines = Lines(list(items), list(range(1, len(items) + 1)))
    findings = [*unanswerable(lines, judge), *same_prompts(lines, judge)]
    if errors := [finding for finding in findings if finding.is_error]:
        shown = "".join(f"\n  {error.where()}: {error.problem}" for error in errors[:NAMED_AT_FREEZE])
        left = len(errors) - NAMED_AT_FREEZE
        rest = f"\n  and {left} more; {more}" if left > 0 else ""
        raise InputError(
            f"{refused}: by {judge_reference(judge)} no model can be right on every item:{shown}{rest}\n"
            f"{remedy}"
        )
    return findings
