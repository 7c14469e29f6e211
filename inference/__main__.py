"""The inference stage's process: `python -m inference`, spoken to by `core.child_process`."""

from core.child_process import child_main
from inference.contract import PredictSpec
from inference.generate import predict

if __name__ == "__main__":
    child_main(PredictSpec, predict)
