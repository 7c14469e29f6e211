"""What the ledger of alpha says of a registered model: what was spent, what is left, and what it can show."""

from __future__ import annotations

from statistics import median

from core.config import Record
from core.errors import InputError, IntegrityError
from core.text import counted
from evaluation.alpha import alpha_left, rest, spent_level
from evaluation.gate import GateConfig
from evaluation.groups import independent
from evaluation.power import CHANGED, MANY, POWER, found_until, gain_found
from experiments.comparing import conditions
from registry import Registry
from registry.alpha_ledger import Ledger, used
from registry.tables import AlphaSpending

NEWEST = 10
"""Comparisons whose changed answers are counted, to expect as many of the next one."""

FADED = 1.5
"""A fresh golden set is due when a gain must be so many times as large to be found as at first. It is then as
if more than half of the items were gone.
"""


class SpentAlpha(Record):
    """A comparison that was decided.

    Attributes:
        number: which it was, from 1.
        opponent: run id.
        candidate: run id.
        p_value: one-sided; the largest where several things were required.
        level: what it had to be below.
        significant: whether it was.
        at: when, UTC.
    """

    number: int
    opponent: str
    candidate: str
    p_value: float
    level: float
    significant: bool
    at: str


class AlphaReport(Record):
    """The ledger of a model on one golden dataset.

    Attributes:
        dataset: its name.
        dataset_sha256: of its file.
        items: how many it has.
        groups: how many of them are independent.
        alpha: the chance of any false promotion, as at the newest comparison.
        spent: what was decided so far.
        left: what all later comparisons together can still spend.
        next_number: of the comparison that comes next.
        next_level: its level.
        changed: share of answers that changed, the median of the newest comparisons.
        power: how probable it is that a gain is found.
        gain_found: the smallest true gain that the next comparison finds so probably; None where none is.
        gain: the true gain that the set is to find: the one asked for, else one and a half times what its
            first comparison found.
        due_at: the comparison from which on it does not find that gain so probably any more.
    """

    dataset: str
    dataset_sha256: str
    items: int
    groups: int
    alpha: float
    spent: list[SpentAlpha]
    left: float
    next_number: int
    next_level: float
    changed: float
    power: float
    gain_found: float | None
    gain: float | None
    due_at: int

    @property
    def due(self) -> bool:
        """Whether a fresh golden set is due."""
        return self.due_at <= self.next_number

    def sentences(self) -> list[str]:
        """What is left and what it can show, in words."""
        smallest = (
            "no gain" if self.gain_found is None else f"a true gain of {100 * self.gain_found:.1f} points"
        )
        items = counted(self.items, "item")
        if self.groups < self.items:
            items += f" in {counted(self.groups, 'independent group')}"
        left = f"{self.left:.2g} of alpha {self.alpha:g} is left"
        seen = f"So far {100 * self.changed:.0f} % of the answers changed. With {items}"
        wanted = "any gain" if self.gain is None else f"a gain of {100 * self.gain:.1f} points"
        due = f"A fresh golden set is due at comparison {self.due_at}: until then, this one finds {wanted}."
        if self.due_at > MANY:
            due = f"This golden set finds {wanted} through a million comparisons."
        elif self.due:
            due = f"A fresh golden set is due: this one does not find {wanted} any more."
        return [
            f"{left}; comparison {self.next_number} is tested at {self.next_level:.2g}.",
            f"{seen}, comparison {self.next_number} finds {smallest} with {100 * self.power:g} % power.",
            due,
        ]


def alpha_reports(
    model: str, registry: Registry, gain: float | None = None, power: float = POWER
) -> list[AlphaReport]:
    """The ledger of a registered model on each golden dataset, the one used last comes last.

    Args:
        model: its name.
        registry: holds it.
        gain: the true gain that a set should find, a share of the full score.
        power: how probable that should be.

    Raises:
        InputError: there is no such model.
        IntegrityError: a row that this rests on was damaged.

    Example:
        >>> report = alpha_reports("tiny-reasoner", registry)[-1]
        >>> report.dataset, report.next_number, report.due_at
        ('golden-v1', 4, 16)
    """
    try:
        return [_report(ledger, registry, gain, power) for ledger in registry.alpha_ledgers(model)]
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise IntegrityError(
            f"ledger of alpha of {model}: a row in it was damaged ({error}). See: hallmark verify"
        ) from error


def _report(ledger: Ledger, registry: Registry, gain: float | None, power: float) -> AlphaReport:
    last, dataset = ledger.spent[-1], ledger.dataset
    alpha, number = _alpha(ledger, registry), last.number + 1
    spent, carried = used(ledger.spent)
    level = spent_level(alpha, number, carried, spent)
    # later comparisons have the levels that this much alpha would give them from the first on
    lasting = alpha_left(alpha, number, spent=spent) / rest(number)
    # where nothing changed yet, that says nothing about a candidate worth comparing
    changed = median(_changed(row, registry) for row in ledger.spent[-NEWEST:]) or CHANGED
    groups = _independent(last, ledger, registry)
    wanted = gain
    if wanted is None and (first := gain_found(groups, changed, spent_level(alpha, 1), power)) is not None:
        wanted = min(changed, FADED * first)
    until = 0 if wanted is None else found_until(groups, wanted, max(changed, wanted), power, lasting)
    return AlphaReport(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        items=dataset.items,
        groups=groups,
        alpha=alpha,
        spent=[
            SpentAlpha(
                number=row.number,
                opponent=row.opponent_run_id,
                candidate=row.candidate_run_id,
                p_value=row.p_value,
                level=row.level,
                significant=row.significant,
                at=row.created_at,
            )
            for row in ledger.spent
        ],
        left=alpha_left(alpha, number, carried, spent),
        next_number=number,
        next_level=level,
        changed=changed,
        power=power,
        gain_found=gain_found(groups, changed, level, power),
        gain=wanted,
        due_at=until + 1,
    )


def _alpha(ledger: Ledger, registry: Registry) -> float:
    """Alpha as the newest of these comparisons was decided with."""
    asked = {row.comparison_sha256 for row in ledger.spent}
    for row in reversed(registry.models.history(ledger.spent[-1].model)):
        if row.decision.get("comparison_sha256") in asked and "gate" in row.decision:
            return float(row.decision["gate"]["alpha"])
    return GateConfig().alpha


def _changed(row: AlphaSpending, registry: Registry) -> float:
    """The share of answers that changed in a comparison."""
    before, after = (registry.runs.scores(run) for run in (row.opponent_run_id, row.candidate_run_id))
    return sum(before[trace_id] != score for trace_id, score in after.items()) / len(after)


def _independent(row: AlphaSpending, ledger: Ledger, registry: Registry) -> int:
    """How many groups the items form; all of them where the items are no longer to be had."""
    run = registry.runs.get(row.candidate_run_id)
    scores = registry.runs.scores(run.run_id)
    try:
        groups = conditions(run, scores, ledger.dataset, registry).groups
    except (InputError, IntegrityError):
        groups = {}
    return independent(list(scores), groups)
