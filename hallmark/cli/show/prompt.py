"""How a model is asked, token by token, as text in 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

from rich.text import Text

from core.text import counted
from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out, relative
from inference.memory import InferenceMemory, gigabytes
from inference.preview import Lengths, Preview, PreviewLine, PreviewToken

SHOWN_TOKENS = 120
"""Of longer lines the middle is left out; --json has all."""


def show_prompt(model: str, dataset: str, found: Preview) -> None:
    """Print what a preview found.

    Args:
        model: as it was asked for.
        dataset: its name.
        found: the preview.
    """
    out.print(Text(f"How {model} is asked on {dataset}", "bold"))
    table = plain_table(["", ""], whole=(0,))
    for name, text in _facts(found):
        table.add_row(name, Text(text))
    out.print(table)
    _show_line("first item", found.item)
    if found.trace is not None:
        _show_line("first trace", found.trace)


def _facts(found: Preview) -> list[tuple[str, str]]:
    template = re.sub(r"(sha256:.{16}).*", r"\1...", found.template)
    facts = [("template", template if found.template_name is None else f"{template}, {found.template_name}")]
    if not found.template.startswith("plain"):
        facts.append(("", relative(Path(found.template_file))))
    if found.date is not None:
        facts.append(("date", f"{found.date}, which the template prints"))
    facts.append(("ends at", ", ".join(f"{as_seen(end)} ({end.id})" for end in found.ends)))
    if found.stop:
        facts.append(("stops at", ", ".join(map(repr, found.stop))))
    if found.thinking_end is not None:
        where = "the prompt ends with it" if found.thinking_closed else "only what follows it is judged"
        facts.append(("thinking", f"ends at {found.thinking_end}: {where}"))
    context = "no limit" if found.context is None else counted(found.context, "token")
    facts.append(("context", f"{context}, of which an answer may take {found.max_new_tokens:,}"))
    facts.append(("prompts", _lengths(found.prompts)))
    if found.shortened:
        facts.append(("", f"{counted(found.shortened, 'prompt')} too long: shortened, and recorded"))
    if found.traces is not None:
        facts.append(("traces", _lengths(found.traces)))
    facts += zip(("memory", ""), _memory(found.memory), strict=True)
    return [*facts, *(("note", note) for note in found.notes)]


def _memory(memory: InferenceMemory) -> tuple[str, str]:
    """What inference needs, and whether that is there."""
    needed = f"weights {gigabytes(memory.weights)}, the longest prompt {gigabytes(memory.per_row)}"
    if memory.available is None:
        return needed, "say how much there is: --set generation.memory_gb=16"
    if not memory.weights_fit:
        return needed, f"{gigabytes(memory.available)} here: the weights do not fit"
    fits = "fit" if memory.fitting == memory.batch_size else f"do not fit: they begin with {memory.fitting}"
    return needed, f"{gigabytes(memory.available)} here: batches of {memory.batch_size} {fits}"


def _lengths(lengths: Lengths) -> str:
    return (
        f"{lengths.count:,} of {lengths.shortest:,} to {counted(lengths.longest, 'token')}; half have "
        f"at most {lengths.median:,}, 95 % at most {lengths.most:,}"
    )


def _show_line(title: str, line: PreviewLine) -> None:
    taught = sum(token.bears_loss for token in line.tokens)
    loss = f", of which {taught:,} bear loss" if taught else ""
    out.print()
    out.print(Text(f"{title} {line.trace_id}: {counted(len(line.tokens), 'token')}{loss}", "bold"))
    out.print(Text(line.text), soft_wrap=True)
    out.print()
    table = plain_table(["", "id", "token", ""], right=(0, 1))
    left_out = len(line.tokens) - SHOWN_TOKENS
    for place, token in enumerate(line.tokens):
        if left_out > 0 and SHOWN_TOKENS // 2 <= place < SHOWN_TOKENS // 2 + left_out:
            if place == SHOWN_TOKENS // 2:
                table.add_row("", "", Text(f"... {counted(left_out, 'token')} more: --json", "dim"))
            continue
        text = Text(as_seen(token), "green" if token.bears_loss else "")
        table.add_row(str(place), str(token.id), text, "loss" if token.bears_loss else "")
    out.print(table)


def as_seen(token: PreviewToken) -> str:
    r"""A token's text, with its spaces and line feeds to be seen.

    Example:
        >>> as_seen(PreviewToken(id=7, text=" two\n"))
        '·two⏎'
    """
    text = token.text.replace(" ", "·").replace("\n", "⏎").replace("\t", "→")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
