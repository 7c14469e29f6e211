"""A revised dataset, and what changed between two, as a person reads them."""

from __future__ import annotations

import json

from rich.text import Text

from core.text import counted, cut, visible, visible_lines
from experiments.revising import CHANGES, Revised
from golden.differences import DatasetDiff, FieldChange, ItemDifference
from golden.manifest import ChangedItem
from hallmark.cli.terminal import out
from registry.reviews import VERDICTS

SHOWN_TEXT = 400
"""Characters of a field that are printed."""

COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}


def show_revised(found: Revised, path: str) -> None:
    """Print where the new version is, what was changed, and what follows."""
    manifest, revision = found.manifest, found.revision
    verb = "was there already, byte for byte" if found.was_there else "is frozen"
    pinned = f"{counted(manifest.items, 'item')}, sha256 {manifest.sha256}"
    out.print(f"{path}: {manifest.name} {verb}, {pinned}", markup=False, soft_wrap=True)
    changed = [f"{CHANGES[change]} {number}" for change, number in found.counts.items() if number]
    out.print(f"{revision.parent}: {', '.join(changed)}, as before {found.kept}", markup=False)
    for warning in found.warnings:
        out.print(Text(warning, "yellow"))
    out.print(
        f"What changed, and why: hallmark golden diff {revision.parent} {path}", markup=False, soft_wrap=True
    )
    out.print(
        f"Old decisions, without inference: hallmark rejudge RUN --dataset {path}",
        markup=False,
        soft_wrap=True,
    )
    if found.can_show:
        out.print(" ".join(found.can_show), markup=False)


def show_diff(found: DatasetDiff) -> None:
    """Print each item that is not the same, field by field, then the counts."""
    out.print(Text(f"{found.first.name} -> {found.second.name}", "bold"))
    for each in found:
        _item(each, found.reasons.get(each.trace_id))
    out.print(found.sentence, markup=False)


def _item(each: ItemDifference, why: ChangedItem | None) -> None:
    out.print(Text.assemble((each.trace_id, "bold"), "  ", (each.kind, COLOURS[each.kind])), soft_wrap=True)
    for opinion in why.by if why else ():
        note = f": {visible(cut(opinion.note, SHOWN_TEXT))}" if opinion.note else ""
        said = f"{VERDICTS[why.reason]}{note}" if why else ""
        out.print(Text(f"  {visible(opinion.reviewer)}, {opinion.at[:10]}: {said}", "dim"), soft_wrap=True)
    for change in each.fields:
        _field(change)


def _field(change: FieldChange) -> None:
    out.print(Text(f"  {change.field}"))
    for sign, value, style in (("-", change.before, "red"), ("+", change.after, "green")):
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            shown = visible_lines(cut(text, SHOWN_TEXT)).replace("\n", "\n      ")
            out.print(Text(f"    {sign} {shown}", style), soft_wrap=True)
