"""The ledger tells each comparison what those before it left of alpha, whatever gave them their levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.alpha import spent_level, weight
from registry import Evidence, Registry, Ruling
from tests.support.registry_entries import finished, plain_gate, promote

pytestmark = pytest.mark.unit

OLD_SHARES = [0.05 * number**-1.6 / 2.2857656656801301 for number in (1, 2, 3)]
"""Levels of the first three comparisons by the weights of version 0.1."""


class Gate:
    """Decides as it is told, at the levels that it is given first and then by the weights of today, and keeps
    what it saw.
    """

    def __init__(self, levels: list[float], says_yes: list[bool]) -> None:
        self.levels, self.says_yes = levels, says_yes
        self.seen: list[Evidence] = []

    def __call__(self, evidence: Evidence) -> Ruling:
        self.seen.append(evidence)
        place = evidence.number - 1
        level = evidence.level
        if level is None and place < len(self.levels):
            level = self.levels[place] + evidence.carried
        elif level is None:
            level = spent_level(0.05, evidence.number, evidence.carried, evidence.spent)
        ruling = plain_gate(evidence, says_yes=self.says_yes[place])
        return Ruling(
            promote=ruling.promote,
            significant=ruling.significant,
            p_value=ruling.p_value,
            level=level,
            reason=ruling.reason,
            document={**ruling.document, "level": level},
        )


def decided(registry: Registry, folder: Path, gate: Gate) -> list[Evidence]:
    """Each candidate's evidence as the deciding transaction saw it."""
    found = []
    for number in range(len(gate.says_yes)):
        run, weights = finished(registry, folder, f"candidate {number}")
        promote(registry, run, weights, gate=gate)
        found.append(gate.seen[-1])
    return found


def test_a_ledger_that_began_with_other_shares_never_spends_more_than_alpha(
    registry: Registry, tmp_path: Path
) -> None:
    gate = Gate(OLD_SHARES, [False] * 8)
    seen = decided(registry, tmp_path, gate)
    assert [evidence.number for evidence in seen] == list(range(1, 9))
    assert seen[3].spent == pytest.approx(sum(OLD_SHARES))
    spent = sum(OLD_SHARES)
    for evidence in seen[3:]:
        assert evidence.spent == pytest.approx(spent)
        level = spent_level(0.05, evidence.number, evidence.carried, evidence.spent)
        assert 0 < level < 0.05 * weight(evidence.number)  # the older shares took more at first
        spent += level
    assert spent < 0.05


def test_a_level_that_was_carried_over_is_spent_once(registry: Registry, tmp_path: Path) -> None:
    seen = decided(registry, tmp_path, Gate([0.02, 0.005, 0.003], [True, True, False, False]))
    assert [evidence.carried for evidence in seen] == pytest.approx([0, 0.02, 0.025, 0])
    assert [evidence.spent for evidence in seen] == pytest.approx([0, 0.02, 0.025, 0.028])


def test_a_comparison_that_is_asked_about_again_keeps_its_level(registry: Registry, tmp_path: Path) -> None:
    gate = Gate(OLD_SHARES, [False] * 3)
    runs = [finished(registry, tmp_path, f"candidate {number}") for number in range(3)]
    for run, weights in runs:
        promote(registry, run, weights, gate=gate)
    promote(registry, *runs[1], gate=gate)
    assert gate.seen[-1].number == 2
    assert gate.seen[-1].level == OLD_SHARES[1]
    assert gate.seen[-1].spent == pytest.approx(OLD_SHARES[0])


def test_a_level_that_was_left_over_at_a_larger_alpha_is_not_that_of_a_smaller_one() -> None:
    left_over = spent_level(0.5, 1)
    assert spent_level(0.05, 2, carried=left_over, spent=left_over) <= 0.05 * weight(1) + 1e-12
    assert spent_level(0.05, 2, carried=0.02, spent=0.02) == pytest.approx(0.05 * (weight(1) + weight(2)))
