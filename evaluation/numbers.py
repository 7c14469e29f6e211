"""Scores, deltas and p values as a person reads them, in the terminal and in reports."""

from __future__ import annotations


def percent(value: float) -> str:
    """0.4694 -> 46.9 %."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """0.3250 -> +32.5."""
    return f"{100 * value:+.1f}"


def p_text(value: float) -> str:
    """A p value: two digits, or a power of ten where it is tiny."""
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"
