"""The training stage's process: `python -m trainer`, spoken to by `hallmark.stages`."""

from hallmark.stages import stage_main
from trainer.contract import TrainSpec
from trainer.run import run_training

if __name__ == "__main__":
    stage_main(TrainSpec, run_training)
