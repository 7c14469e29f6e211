"""What a person reads of a dataset that was checked."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.padding import Padding
from rich.text import Text

from core.text import counted
from evaluation.shown import largest, more_largest
from experiments.lint_rules import Finding, Rule
from experiments.linting import Lint
from golden.manifest import DEFAULT_JUDGE
from hallmark.cli.terminal import out

SHOWN = 5
SHOWN_PROBLEMS = 20
"""Of lines that are not items more is shown, so that all is repaired in one round."""

TITLES: dict[Rule, str] = {
    "not_an_item": "problems in lines that are not items",
    "repeated_id": "ids that are used again",
    "unanswerable": "answers that score less than 1 even when written out word for word",
    "contradiction": "prompts with contradicting answers",
    "cut_answer": "answers longer than {max_new_tokens} tokens of {model}",
    "copy": "prompts that occur more than once",
    "near_copy": "prompts that nearly repeat another",
    "cut_steps": "references longer than {max_new_tokens} tokens of {model}",
    "small_category": "categories that could not fall significantly if every answer were lost",
}
ADVICE: dict[Rule, str] = {
    "not_an_item": "`hallmark golden import` makes items of rows with other fields, of CSV, of Parquet.",
    "unanswerable": "Change the answer, or name the judge that the set is meant for (--judge).",
    "cut_answer": "No model can give them. Raise --max-new-tokens, here and in the experiment.",
    "copy": "Copies add nothing: statistics count each prompt once.",
    "near_copy": "Remove one, or give both the same `group`: statistics count each group once.",
    "cut_steps": "Models that work as these steps do would be cut off. Raise --max-new-tokens.",
    "small_category": "Add items, or merge categories.",
}
GOOD: dict[Rule, str] = {
    "not_an_item": "every line is an item",
    "repeated_id": "ids are unique",
    "unanswerable": "each answer, written out, scores 1 by {judge}",
    "contradiction": "no prompt has two answers",
    "copy": "no prompt occurs twice",
    "near_copy": "no prompt nearly repeats another",
    "cut_steps": "each reference fits into {max_new_tokens} tokens of {model}",
    "small_category": "each category is large enough to fall significantly",
}


OF_TRAINING_SETS = frozenset[Rule]({"not_an_item", "repeated_id"})


def show_lint(lint: Lint, file: str) -> None:
    """Print what was found, what is good, and what to do next.

    Args:
        lint: what `experiments.linting.lint` found.
        file: the dataset, as it was given.
    """
    items = counted(lint.items, "item")
    out.print(Text(f"{lint.name}: {items}", "bold"), markup=False)
    out.print(f"sha256 {lint.sha256}")
    for category, count in largest(list(lint.categories.items()), lambda each: (each[1], 0.0)):
        out.print(f"  {category:<24} {count:>6}", markup=False)
    if more := more_largest(len(lint.categories), "All: --json"):
        out.print(f"  {more}")
    about = lint.model_dump(include={"judge", "model", "max_new_tokens"})
    for name, style, findings in (("error", "red", lint.errors), ("warning", "yellow", lint.warnings)):
        for rule, title in TITLES.items():
            if here := [finding for finding in findings if finding.rule == rule]:
                out.print(Text.assemble((f"{name}: ", style), f"{title.format(**about)}: {len(here)}"))
                show_findings(here)
    for rule, reason in lint.skipped.items():
        out.print(f"not checked: whether {GOOD[rule].format(**about)}: {reason}", markup=False)
    found = {finding.rule for finding in (*lint.errors, *lint.warnings)} | lint.skipped.keys()
    if "cut_answer" in found:
        found |= {"cut_steps"}  # the answer is part of what is said to fit
    # of no items nothing is good
    looked_at = OF_TRAINING_SETS if lint.train else GOOD.keys()
    good = [
        text.format(**about)
        for rule, text in GOOD.items()
        if rule in looked_at and rule not in found and lint.items
    ]
    if good:
        out.print(Text.assemble(("good: ", "green"), "; ".join(good)))
    if lint.can_show:
        out.print(" ".join(lint.can_show), markup=False)
    sentence, command = _next(lint, file)
    out.print(sentence, markup=False, soft_wrap=True)
    if command:
        out.print_line(f"  {command}")


def show_copies(findings: Sequence[Finding]) -> None:
    """Prompts that occur more than once, of a set that was frozen all the same."""
    if findings:
        out.print(Text.assemble(("warning: ", "yellow"), f"{TITLES['copy']}: {len(findings)}"))
        show_findings(findings)


def show_findings(findings: Sequence[Finding]) -> None:
    """The first few of one kind, and how many more there are."""
    shown = SHOWN_PROBLEMS if findings[0].rule == "not_an_item" else SHOWN
    for finding in findings[:shown]:
        place = f"{finding.where()}: " if finding.lines and finding.rule != "small_category" else ""
        out.print(Padding(Text(place + finding.problem), (0, 0, 0, 2), expand=False))
    if len(findings) > shown:
        out.print(f"  and {len(findings) - shown} more (--json shows all)", markup=False)
    if advice := ADVICE.get(findings[0].rule):
        out.print(Padding(Text(advice, "dim"), (0, 0, 0, 2), expand=False))


def _next(lint: Lint, file: str) -> tuple[str, str]:
    """What to do next, and the command for it."""
    name = shlex.quote(file)
    if lint.errors:
        return f"Repair {len(lint.errors)}, then check again:", f"hallmark golden check {name}"
    if lint.train:
        return "well formed. Whether golden items are in it:", f"hallmark golden guard {name} GOLDEN"
    verdict = "fit to decide on, with warnings" if lint.warnings else "all good"
    if any("too small" in sentence for sentence in lint.can_show):
        verdict = "well formed, but too small to decide much"
    if lint.frozen:
        return f"{verdict}; frozen: the sha256 is the manifest's", ""
    judge = f" --judge {shlex.quote(lint.judge)}" if lint.judge != DEFAULT_JUDGE else ""
    command = f"hallmark golden freeze {name} --licence SPDX --made-by TEXT{judge}"
    return f"{verdict}; not frozen yet:", command
