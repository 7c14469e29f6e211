"""The training stage's process: `python -m trainer`, spoken to by `core.child_process`."""

from core.child_process import child_main
from trainer.contract import TrainSpec
from trainer.job import run_training

if __name__ == "__main__":
    child_main(TrainSpec, run_training)
