"""Scores, deltas and p values as a person reads them, in the terminal and in reports."""

from __future__ import annotations


def percent(value: float) -> str:
    """A share in percent.

    Example:
        >>> percent(0.4694)
        '46.9 %'
    """
    return f"{100 * value:.1f} %"


NO_SHARES = ("perplexity", "bits_per_byte")
"""Metrics that are no shares of one."""


def metric_text(name: str, value: float) -> str:
    """A metric's value: in percent where it is a share.

    Example:
        >>> metric_text("answer_correctness", 0.4694), metric_text("perplexity", 12.34567)
        ('46.9 %', '12.346')
    """
    return f"{value:.3f}" if name in NO_SHARES else percent(value)


def interval_text(name: str, low: float | None, high: float | None) -> str:
    """The interval of a metric's value, in percent where it is a share; empty where there is none."""
    if low is None or high is None:
        return ""
    places, factor = (3, 1) if name in NO_SHARES else (1, 100)
    return f"{factor * low:.{places}f} to {factor * high:.{places}f}"


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
