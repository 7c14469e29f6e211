"""What every refusal has in common."""

from __future__ import annotations

import subprocess


def assert_refused(result: subprocess.CompletedProcess[str], code: int, *expected: str) -> None:
    """The command ended with an exit code and one sentence that holds some parts; no traceback, no output."""
    message = " ".join(result.stderr.split())
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for part in expected:
        assert part in message, f"{part!r} not in {message!r}"
