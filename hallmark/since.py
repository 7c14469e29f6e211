"""Points in time as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from core.errors import InputError

_SPAN = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str | datetime | timedelta, now: datetime | None = None) -> str:
    """A point in time as it is recorded: ISO 8601 text in UTC.

    Args:
        text: a time span before now as in 30m, 12h, 2d, 1w; or a date or a time, which is UTC where it names
            no other zone.
        now: the present time; None asks the clock.

    Raises:
        InputError: it is neither.

    Example:
        >>> since("2d", datetime(2026, 11, 26, 12, tzinfo=UTC))
        '2026-11-24T12:00:00.000000+00:00'
        >>> since("2026-11-01")
        '2026-11-01T00:00:00.000000+00:00'
    """
    try:
        if isinstance(text, str) and (span := _SPAN.fullmatch(text.strip())):
            text = timedelta(**{_UNITS[span[2]]: int(span[1])})
        if isinstance(text, timedelta):
            moment = (now or datetime.now(UTC)) - text
        else:
            moment = datetime.fromisoformat(text.strip()) if isinstance(text, str) else text
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise InputError(
            f"since {text!r}: expected a time span as in 30m, 12h, 2d or 1w, or a date as in 2026-11-01"
        ) from None
