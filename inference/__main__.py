"""The inference stage's process: `python -m inference`, spoken to by `hallmark.stages`."""

from hallmark.stages import stage_main
from inference.contract import PredictSpec
from inference.generate import predict

if __name__ == "__main__":
    stage_main(PredictSpec, predict)
