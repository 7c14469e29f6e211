"""Is the ledger of alpha the one that the promotion log decided?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from core.errors import IntegrityError
from registry.alpha_entries import (
    LEDGER,
    Entry,
    Left,
    difference,
    entry_of,
    left_by,
    older_difference,
    parsed_entries,
    row_name,
)
from registry.stored import read
from registry.tables import AlphaSpending

Found = tuple[str, str]
"""Where something is wrong, and what."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of the gate about a comparison, from its row of the promotion log.

    Attributes:
        log_id: the row.
        model: what it was about.
        run_id: the run that was offered.
        document: what was recorded.
        entries: of the ledger of each dataset; none in a decision of an older Hallmark.
    """

    log_id: int
    model: str
    run_id: str
    document: dict[str, Any]
    entries: list[Entry]

    @property
    def where(self) -> str:
        """The row, as problems name it."""
        return f"promotion log row {self.log_id}"


def decisions(connection: Connection, model: str | None = None, after: int = 0) -> Iterator[Decision | Found]:
    """Every decision about a comparison, oldest first; in place of one that cannot be read, what is wrong.

    Args:
        connection: in a transaction.
        model: only those about it.
        after: only those in later rows of the promotion log.
    """
    of_model = "" if model is None else "AND model = :model "
    rest = f"WHERE id > :after {of_model}ORDER BY id"
    columns = ("id", "model", "run_id", "decision")
    for log_id, name, run_id, text in read(
        connection, "promotion_log", *columns, rest=rest, after=after, model=model
    ):
        try:
            document = json.loads(text)
            comparison = document.get("comparison_sha256")
            if not isinstance(comparison, str | None):
                raise TypeError(comparison)
            if comparison is not None:  # else a move by hand
                yield Decision(log_id, name, run_id, document, parsed_entries(log_id, document))
        except (ValueError, TypeError, AttributeError, RecursionError, IntegrityError):
            yield f"promotion log row {log_id}", "its decision cannot be read"


def ledger_of_alpha(connection: Connection) -> Iterator[Found]:
    """Compare the ledger with the log: each row with the decision that made it, each decision with its rows,
    and what was carried and spent with what the comparisons before it left.
    """
    ledger = _Ledger(list(_rows(connection)))
    for decision in decisions(connection):
        if not isinstance(decision, Decision):
            yield decision
        elif LEDGER in decision.document:
            yield from ledger.decided(decision)
        else:
            yield from ledger.decided_by_an_older_version(decision)
    for key in ledger.rows.keys() - ledger.first.keys():
        yield row_name(*key), "no row of the promotion log decided it"


Family = tuple[str, str]
Key = tuple[str, str, int]


class _Ledger:
    """The rows of the ledger, and what the log's decisions made of them so far.

    Attributes:
        rows: by model, dataset and number.
        first: the entry by which each was decided, likewise.
        left: what the comparisons of a family so far left to the next one.
    """

    def __init__(self, rows: list[AlphaSpending]) -> None:
        self.rows: dict[Key, AlphaSpending] = {
            (row.model, row.dataset_sha256, row.number): row for row in rows
        }
        self.first: dict[Key, Entry] = {}
        self.left: dict[Family, Left] = {}
        self._compared: dict[Family, list[AlphaSpending]] = {}
        for row in rows:
            self._compared.setdefault((row.model, row.comparison_sha256), []).append(row)

    def decided(self, decision: Decision) -> Iterator[Found]:
        for entry in decision.entries:
            key = (decision.model, entry.dataset_sha256, entry.number)
            row, earlier = self.rows.get(key), self.first.get(key)
            if earlier is not None and earlier != entry:
                yield decision.where, f"says otherwise of comparison {entry.number} than when it was decided"
            elif row is None:
                yield (
                    decision.where,
                    f"decided comparison {entry.number}, which the ledger of alpha does not have",
                )
            elif found := difference(row, entry):
                yield row_name(*key), f"{found} (promotion log row {decision.log_id})"
            if earlier is None:
                yield from self._next(decision, entry)

    def decided_by_an_older_version(self, decision: Decision) -> Iterator[Found]:
        number, comparison = decision.document.get("number"), decision.document["comparison_sha256"]
        rows = self._compared.get((decision.model, comparison), [])
        numbers = [row.number for row in rows]
        if number not in numbers:
            yield (
                decision.where,
                f"was decided as comparison {number}, which the ledger of alpha does not have",
            )
        for row in rows:
            key = (row.model, row.dataset_sha256, row.number)
            if key in self.first:
                continue
            try:
                found = older_difference(row, decision.document, decision.run_id, numbers)
                entry = entry_of(row, self.left.get(key[:2], Left()))
            except (KeyError, TypeError, ValueError):
                yield row_name(*key), f"it or promotion log row {decision.log_id} cannot be read"
                continue
            if found:
                yield row_name(*key), f"{found} (promotion log row {decision.log_id})"
            yield from self._next(decision, entry)

    def _next(self, decision: Decision, entry: Entry) -> Iterator[Found]:
        """One that was decided for the first time comes next in its family."""
        key = (decision.model, entry.dataset_sha256, entry.number)
        left = self.left.get(key[:2], Left())
        row = self.rows.get(key)
        if row is not None and row.log_id != decision.log_id:
            yield (
                row_name(*key),
                f"names promotion log row {row.log_id}, but row {decision.log_id} decided it",
            )
        if entry.number != left.number + 1:
            yield row_name(*key), f"comparison {left.number + 1} before it is missing"
        elif (entry.carried, entry.spent) != (left.carried, left.spent):
            took = f"took {entry.carried} as carried over and {entry.spent} as spent"
            yield decision.where, f"{took}, but those before it left {left.carried} and {left.spent}"
        self.first[key], self.left[key[:2]] = entry, left_by(entry)


def _rows(connection: Connection) -> Iterator[AlphaSpending]:
    """The rows of the ledger as they are stored, whatever somebody put there."""
    for row in read(connection, "alpha_spending"):
        yield AlphaSpending(**{**row._mapping, "significant": row.significant == 1})
