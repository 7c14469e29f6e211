"""Judges that come in packages of their own."""

from __future__ import annotations

from pathlib import Path

PLUGIN = '''"""A judge of somebody else's."""

from judges.base import Score
from acme_judges.helping import agrees


class Generous:
    """Says yes whenever the right answer occurs."""

    name = "generous"
    version = "v1"

    def score(self, item, prediction):
        """Look for the right answer."""
        right = agrees(item.final_answer, prediction)
        reason = "correct" if right else "wrong"
        return Score(trace_id=item.trace_id, score=float(right), extracted=None, reason=reason)
'''
HELPER = "def agrees(answer, prediction):\n    return answer in prediction\n"


def install_plugin(
    folder: Path, source: str = PLUGIN, helper: str = HELPER, point: str = "acme_judges.main:Generous"
) -> dict[str, str]:
    """Install the package acme-judges into a folder, as pip does, and give the environment in which Python
    finds it.
    """
    package, info = folder / "acme_judges", folder / "acme_judges-1.0.dist-info"
    for directory in (package, info):
        directory.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(source)
    (package / "helping.py").write_text(helper)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-judges\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hallmark.judges]\ngenerous@v1 = {point}\n")
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
