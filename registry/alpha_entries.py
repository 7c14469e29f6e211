"""A comparison in the ledger of alpha, as a decision in the promotion log holds it, and as the ledger's row
repeats it.

The log's rows are hashed, so what a later level rests on is taken from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.config import Record
from core.errors import IntegrityError
from registry.tables import AlphaSpending, PromotionLog

LEDGER = "ledger"
"""The field of a recorded decision that holds its entries."""


class Entry(Record):
    """A comparison in the ledger of one dataset.

    Attributes:
        dataset_sha256: of the golden dataset.
        number: which comparison it is there, from 1.
        comparison_sha256: hash over what is compared.
        opponent_run_id: the run to beat on this dataset.
        candidate_run_id: the run that was offered.
        carried: what the comparison before it handed on.
        spent: sum of the levels of all before it, less what each had carried over.
        level: the level of its test.
        p_value: of its test.
        significant: whether its level goes on to the next comparison.
        spending: the rule that gave the level; None where that was not recorded.
    """

    dataset_sha256: str
    number: int
    comparison_sha256: str
    opponent_run_id: str
    candidate_run_id: str
    carried: float
    spent: float
    level: float
    p_value: float
    significant: bool
    spending: str | None = None


REPEATED = (
    "number",
    "comparison_sha256",
    "opponent_run_id",
    "candidate_run_id",
    "level",
    "p_value",
    "significant",
)
"""What a row of the ledger repeats of its entry, beside the dataset."""


class Left(NamedTuple):
    """What the comparisons of a family leave to the next one: see the fields of `Entry`."""

    number: int = 0
    carried: float = 0.0
    spent: float = 0.0

    def after(self, level: float, significant: bool) -> Left:
        """What is left once one more was decided."""
        # lower than what was carried over where another dataset of the same decision had less left
        spent = self.spent + max(0.0, level - self.carried)
        return Left(self.number + 1, level if significant else 0.0, spent)


def left_by(entry: Entry) -> Left:
    """What a comparison leaves to the next one."""
    return Left(entry.number - 1, entry.carried, entry.spent).after(entry.level, entry.significant)


def entries_of(log: PromotionLog) -> list[Entry]:
    """The entries of a decision; none where the row is no decision, or one of an older Hallmark.

    Raises:
        IntegrityError: they are not entries.
    """
    return parsed_entries(log.id, log.decision)


def parsed_entries(log_id: int, decision: Mapping[str, Any]) -> list[Entry]:
    """The same, from the parts of a row."""
    found = decision.get(LEDGER)
    if found is None:
        return []
    try:
        return [Entry.model_validate(each) for each in found]
    except (TypeError, ValidationError):
        raise IntegrityError(
            f"promotion log row {log_id}: its decision's field {LEDGER} cannot be read"
        ) from None


def difference(row: AlphaSpending, entry: Entry) -> str | None:
    """The first column of a row of the ledger that is not as it was decided, in words; None for none."""
    for name in REPEATED:
        found, expected = getattr(row, name), getattr(entry, name)
        if found != expected:
            return _differs(name, found, expected)
    return None


def older_difference(
    row: AlphaSpending, decision: Mapping[str, Any], run_id: str, numbers: Sequence[int]
) -> str | None:
    """The same for a row that was decided before decisions held entries, as far as its decision says.

    Args:
        row: of the ledger.
        decision: as its row of the log holds it.
        run_id: the run that was offered, likewise.
        numbers: of the comparison on each dataset that the decision rests on; it names one of them.
    """
    required: list[Mapping[str, Any]] = decision.get("requirements") or []
    said = {name: decision.get(name) for name in ("comparison_sha256", "level")}
    if "significant" in decision:
        said["significant"] = decision["significant"]
    if required:
        said["p_value"] = max(each["p_value"] for each in required)
    for name, expected in said.items():
        if getattr(row, name) != expected:
            return _differs(name, getattr(row, name), expected)
    if decision.get("number") not in numbers:
        return _differs("number", row.number, decision.get("number"))
    pairs = [(each["opponent_run"], each["candidate_run"]) for each in required]
    runs = (row.opponent_run_id, row.candidate_run_id)
    if runs not in (pairs or [(decision.get("against"), run_id)]):
        return f"names runs {runs[0]} and {runs[1]}, which the decision is not about"
    return None


def entry_of(row: AlphaSpending, left: Left) -> Entry:
    """The entry that a row of the ledger would have, by what those before it left."""
    repeated = {name: getattr(row, name) for name in REPEATED}
    return Entry(dataset_sha256=row.dataset_sha256, carried=left.carried, spent=left.spent, **repeated)


def row_name(model: str, dataset_sha256: str, number: int) -> str:
    """How a row of the ledger is called in messages."""
    return f"{family_name(model, dataset_sha256)}, comparison {number}"


def family_name(model: str, dataset_sha256: str) -> str:
    """How the ledger of a model on a dataset is called."""
    return f"alpha spending of {model}, dataset {dataset_sha256}"


def _differs(name: str, found: object, expected: object) -> str:
    return f"{name} is {found}, but {expected} was decided"
