"""Scores, deltas and p values as a person reads them, in the terminal and in reports."""

from __future__ import annotations


def percent(value: float) -> str:
    """A share in percent.

    Example:
        >>> percent(0.4694)
        '46.9 %'
    """
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign.

    Example:
        >>> points(0.325)
        '+32.5'
    """
    return f"{100 * value:+.1f}"


def p_text(value: float) -> str:
    """A p value: three decimals, or a power of ten where it is tiny.

    Example:
        >>> p_text(0.25), p_text(0.0000123)
        ('0.250', '1.2e-05')
    """
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"
