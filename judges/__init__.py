"""Judges: pure functions that score one prediction. Found by entry point, so that a user can add one."""

from judges.base import Judge, Score
from judges.judging import JudgeError, MissingPrediction, judge_items, read_predictions
from judges.plugins import available_judges, judge_fingerprint, load_judge

__all__ = [
    "Judge",
    "JudgeError",
    "MissingPrediction",
    "Score",
    "available_judges",
    "judge_fingerprint",
    "judge_items",
    "load_judge",
    "read_predictions",
]
