"""stub"""
from __future__ import annotations
from typing import Any, Literal
from pydantic import BaseModel


class TrainingData(BaseModel):
    status: Literal["clean", "leaked", "unknown"] = "clean"

    @property
    def sentences(self) -> list[str]:
        return []


def training_data(run: Any, dataset: Any, workspace: Any) -> TrainingData:
    training = run.manifest.get("training")
    clean = not training or training["contamination"]["overlaps"] == 0
    return TrainingData(status="clean" if clean else "leaked")
