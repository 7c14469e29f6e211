"""What a golden set can show: the gain that a comparison finds, and the items that it takes to find one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.config import Record
from core.errors import InputError
from core.text import counted
from evaluation.alpha import spent_level
from evaluation.noninferiority import level_needed
from evaluation.superiority import significant_gains

CHANGED = 0.15
"""Share of changed answers to expect where nobody has seen any: fine-tuned models change 10 to 20 %."""

POWER = 0.8
MOST_ITEMS = 10_000_000
MOST_TO_EXCLUDE = 100_000
MANY = 1_000_000
"""Comparisons beyond which nobody looks."""
UNCONDITIONAL = 1_000
"""Up to so many items power is computed from the gate's own test."""


class AtComparison(Record):
    """What a golden set can show at one comparison.

    Attributes:
        number: which comparison it is on the set, from 1.
        level: of its one-sided test.
        gain_found: the smallest true gain in mean score that is found with the power asked for; None where
            none is, even if every changed answer is a gain.
        power: how probably the gain asked for is found; None where none was.
        items_needed: independent items it takes to find that gain; None where none was asked for.
        items_to_exclude: independent items it takes to exclude a loss of the margin asked for, when there is
            truly none; None where none was asked for.
    """

    number: int
    level: float
    gain_found: float | None
    power: float | None = None
    items_needed: int | None = None
    items_to_exclude: int | None = None


class PowerPlan(Record):
    """What a golden set can show, comparison by comparison.

    Attributes:
        dataset: its name.
        items: how many it has.
        groups: how many of them are independent: a group of items that hang together counts once.
        changed: expected share of changed answers.
        power_asked: how probable it is that a gain is found.
        alpha: chance of any false promotion, over all comparisons.
        gain: the true gain asked for, a share of the full score; None where none was.
        found_until: the last comparison at which today's set finds that gain; 0 where not even the first
            does; None where no gain was asked for.
        comparisons: the first, the tenth and so on, and the last of the nights asked for.
        margin: the loss that should be excluded, a share of the full score; None where none was asked for.
        excluded_until: the last comparison at which today's set excludes it, as `found_until`.
    """

    dataset: str
    items: int
    groups: int
    changed: float
    power_asked: float
    alpha: float
    gain: float | None
    found_until: int | None
    comparisons: list[AtComparison]
    margin: float | None = None
    excluded_until: int | None = None

    def sentences(self) -> list[str]:
        """The same in words.

        Example:
            >>> power_plan("support-v1", items=360, groups=300, nights=10).sentences()[0]
            'support-v1 has 360 items in 300 independent groups. If 15 % of the answers change, it shows a \
gain of 6.4 points at the first comparison and of 8.9 points at the 10th, each in 80 % of cases (power).'
        """
        items = counted(self.items, "item")
        if self.groups < self.items:
            items += f" in {counted(self.groups, 'independent group')}"
        expected = f"If {100 * self.changed:g} % of the answers change"
        found = [
            f"of {100 * row.gain_found:.1f} points at the {_comparison(row.number)}"
            for row in self.comparisons
            if row.gain_found is not None
        ]
        nothing = [_ordinal(row.number) for row in self.comparisons if row.gain_found is None]
        told = [f"{self.dataset} has {items}."]
        if found:
            often = f"{'each ' if len(found) > 1 else ''}in {100 * self.power_asked:g} % of cases (power)"
            told[0] += f" {expected}, it shows a gain {_listed(found)}, {often}."
        if nothing:
            told.append(
                f"{expected}, it shows no gain so often at the {_listed(nothing)} comparison, not even if "
                "every change is one: the set is too small for that."
            )
        if self.groups < self.items:
            told.append(
                "This is the best case: where the items of a group score differently, it takes a larger gain "
                "or more items."
            )
        if self.gain is not None and self.found_until is not None:
            gain = f"a gain of {_points(self.gain)}"
            needed = [f"{row.items_needed:,} at the {_comparison(row.number)}" for row in self.comparisons]
            told.append(f"To show {gain} takes independent items: {_listed(needed)}.")
            told.append(self._until("show", gain, self.found_until))
        if self.margin is not None and self.excluded_until is not None:
            loss = f"a loss of {_points(self.margin)}"
            needed = [
                f"{row.items_to_exclude:,} at the {_comparison(row.number)}" for row in self.comparisons
            ]
            told.append(f"To exclude {loss} where there is none takes independent items: {_listed(needed)}.")
            told.append(self._until("exclude", loss, self.excluded_until))
        return told

    def _until(self, verb: str, what: str, until: int) -> str:
        last = self.comparisons[-1].number
        if not until:
            return f"Today's set does not {verb} {what} even at the first comparison."
        if until >= last:
            return f"Today's set {verb}s {what} through all {last} comparisons."
        return f"Today's set {verb}s {what} up to comparison {until}; after that, a fresh set is due."


def _ordinal(number: int) -> str:
    """A place in words.

    Example:
        >>> _ordinal(1), _ordinal(10), _ordinal(22)
        ('first', '10th', '22nd')
    """
    if number == 1:
        return "first"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _comparison(number: int) -> str:
    """Which comparison; after the first the word is left out."""
    return "first comparison" if number == 1 else _ordinal(number)


def _points(share: float) -> str:
    return f"{100 * share:g} point{'' if round(100 * share, 9) == 1 else 's'}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def power_plan(
    dataset: str,
    items: int,
    groups: int | None = None,
    *,
    gain: float | None = None,
    margin: float | None = None,
    changed: float = CHANGED,
    nights: int = 50,
    power: float = POWER,
    alpha: float = 0.05,
) -> PowerPlan:
    """What a golden set can show, and how many items it takes to find a gain.

    Args:
        dataset: its name, for people.
        items: how many it has.
        groups: how many of them are independent (`evaluation.groups.group_of`); all where it is left out.
        gain: the true gain that should be found, a share of the full score, as in 0.03.
        margin: the loss that should be excluded when there is truly none, likewise.
        changed: expected share of changed answers.
        nights: how many comparisons are planned.
        power: how probable it should be that the gain is found.
        alpha: chance of any false promotion, over all comparisons.

    Raises:
        InputError: a number is out of its range, or more gain is asked for than answers change.

    Example:
        >>> plan = power_plan("support-v1", 300, gain=0.05)
        >>> [round(row.gain_found, 3) for row in plan.comparisons], plan.comparisons[0].items_needed
        ([0.064, 0.089, 0.098], 498)
    """
    _check(items, gain, changed, nights, power, alpha)
    if margin is not None and not 0 < margin < 1:
        raise InputError(f"margin: must lie between 0 and 1, as in 0.02 for two points; got {margin:g}")
    independent = items if groups is None else groups
    rows = []
    for number in sorted({1, *(10**digits for digits in range(1, len(str(nights)))), nights}):
        level = spent_level(alpha, number)
        rows.append(
            AtComparison(
                number=number,
                level=level,
                gain_found=gain_found(independent, changed, level, power),
                power=None if gain is None else gain_power(independent, gain, changed, level),
                items_needed=None if gain is None else items_needed(gain, changed, level, power),
                items_to_exclude=None if margin is None else items_to_exclude(margin, changed, level, power),
            )
        )
    until = None if gain is None else found_until(independent, gain, changed, power, alpha)
    return PowerPlan(
        dataset=dataset,
        items=items,
        groups=independent,
        changed=changed,
        power_asked=power,
        alpha=alpha,
        gain=gain,
        found_until=until,
        comparisons=rows,
        margin=margin,
        excluded_until=None
        if margin is None
        else _last_with(level_needed(independent, margin, changed, power), alpha),
    )


def _check(items: int, gain: float | None, changed: float, nights: int, power: float, alpha: float) -> None:
    if items < 1:
        raise InputError(f"items: there must be at least one, got {items}")
    if nights < 1:
        raise InputError(f"nights: there must be at least one, got {nights}")
    for name, value in (("changed", changed), ("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise InputError(f"{name}: must lie between 0 and 1, got {value:g}")
    if gain is not None and not 0 < gain <= changed:
        raise InputError(
            f"gain: {_points(gain)} cannot come from {100 * changed:g} % changed answers. "
            "Ask for a gain above 0, or expect more changes (--changed)."
        )


@lru_cache(maxsize=4096)
def gain_power(n: int, gain: float, changed: float, level: float) -> float:
    """How probably the gate's one-sided exact test finds a true gain: the sum over all numbers of changed
    answers (Duffy 1984, Biometrics 40:1005).

    Args:
        n: independent items.
        gain: true gain in mean score, 0 to `changed`.
        changed: probability that an answer changes.
        level: of the test.

    Example:
        >>> round(gain_power(300, 0.1, 0.2, level=0.02), 3)
        0.973
    """
    from scipy.stats import binom

    deviation = np.sqrt(n * changed * (1 - changed))
    # beyond nine standard deviations and a few there is nothing that counts
    low, high = max(0, int(n * changed - 9 * deviation) - 20), min(n, int(n * changed + 9 * deviation) + 20)
    answers = np.arange(low, high + 1)
    found = binom.sf(_fewest_gains(n, level, answers) - 1, answers, (1 + gain / changed) / 2)
    return float(np.dot(binom.pmf(answers, n, changed), found))


def _fewest_gains(n: int, level: float, changed: np.ndarray) -> np.ndarray:
    """The fewest gains that are significant when so many answers change, int64 of the shape of `changed`.

    For many items those whose mid-p value is at most the level, which is quicker and nearly the same.
    """
    from scipy.stats import binom

    if n <= UNCONDITIONAL and level <= 0.25:
        return np.asarray(_significant_gains(n, level)[changed])
    fewest = binom.isf(level, changed, 0.5) + 1  # P(X >= fewest) is at most the level
    one_less = binom.sf(fewest - 1, changed, 0.5) + binom.pmf(fewest - 1, changed, 0.5) / 2
    return np.asarray(fewest - (one_less <= level))


_significant_gains = lru_cache(maxsize=256)(significant_gains)


def gain_found(n: int, changed: float, level: float, power: float = POWER) -> float | None:
    """The smallest true gain that is found with the power asked for; None where none is.

    Args:
        n: independent items.
        changed: probability that an answer changes.
        level: of the one-sided test.
        power: between 0 and 1.
    """
    if gain_power(n, changed, changed, level) < power:
        return None
    low, high = 0.0, changed
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if gain_power(n, middle, changed, level) >= power else (middle, high)
    return round(high, 5)


def items_needed(gain: float, changed: float, level: float, power: float = POWER) -> int:
    """The independent items it takes to find a true gain with the power asked for. One fewer is too few; some
    fewer still may do again, since the power of an exact test rises like a saw (Chernick & Liu 2002, "The
    Saw-Toothed Behavior of Power Versus Sample Size and Software Solutions", The American Statistician 56).

    Args:
        gain: in mean score, above 0.
        changed: probability that an answer changes.
        level: of the one-sided test.
        power: between 0 and 1.

    Raises:
        InputError: more than ten million.
    """
    high = 1
    while gain_power(high, gain, changed, level) < power:
        if high > MOST_ITEMS:
            raise InputError(
                f"gain: to find {_points(gain)} takes more than {MOST_ITEMS:,} items. Ask for a larger gain."
            )
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gain_power(middle, gain, changed, level) >= power else (middle, high)
    return high


def found_until(n: int, gain: float, changed: float, power: float = POWER, alpha: float = 0.05) -> int:
    """The last comparison at which a true gain is found with the power asked for; 0 where not even the first
    does, and a million where it goes on beyond that.

    Args:
        n: independent items.
        gain: in mean score.
        changed: probability that an answer changes.
        power: between 0 and 1.
        alpha: chance of any false promotion, over all comparisons.
    """
    low, high = 0, MANY
    while high > low:
        middle = (low + high + 1) // 2
        enough = gain_power(n, gain, changed, spent_level(alpha, middle)) >= power
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def items_to_exclude(margin: float, changed: float, level: float, power: float = POWER) -> int:
    """The independent items it takes to exclude a loss of the margin, when there is truly none.

    Args:
        margin: in mean score, above 0.
        changed: probability that an answer changes.
        level: of the one-sided test.
        power: between 0 and 1.

    Raises:
        InputError: more than a hundred thousand.
    """
    high = 1
    while level_needed(high, margin, changed, power) >= level:
        if high > MOST_TO_EXCLUDE:
            raise InputError(
                f"margin: to exclude a loss of {_points(margin)} takes more than {MOST_TO_EXCLUDE:,} "
                "items. Ask for a wider margin."
            )
        high *= 2
    low = high // 2
    while high - low > max(
        1, high // 500
    ):  # to a fifth of a percent, which is finer than the guess of `changed`
        middle = (low + high) // 2
        enough = level_needed(middle, margin, changed, power) < level
        low, high = (low, middle) if enough else (middle, high)
    return high


def _last_with(least: float, alpha: float) -> int:
    """The last comparison whose level is above this one."""
    low, high = 0, MANY
    while high > low:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if spent_level(alpha, middle) > least else (low, middle - 1)
    return low
