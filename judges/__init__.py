"""Judges: pure functions that score one prediction. Found by entry point, so that a user can add one."""

from judges.base import Judge, JudgeParameters, SampleScore, Score
from judges.fingerprint import judge_fingerprint
from judges.judging import (
    JudgeError,
    MissingPrediction,
    checked_items,
    each_prediction,
    judge_items,
    judge_pairs,
    read_predictions,
)
from judges.plugins import (
    JudgeInfo,
    available_judges,
    check_output,
    describe_judges,
    judge_reference,
    list_judges,
    load_judge,
    recorded_judge,
)

__all__ = [
    "Judge",
    "JudgeError",
    "JudgeInfo",
    "JudgeParameters",
    "MissingPrediction",
    "SampleScore",
    "Score",
    "available_judges",
    "check_output",
    "checked_items",
    "describe_judges",
    "each_prediction",
    "judge_fingerprint",
    "judge_items",
    "judge_pairs",
    "judge_reference",
    "list_judges",
    "load_judge",
    "read_predictions",
    "recorded_judge",
]
