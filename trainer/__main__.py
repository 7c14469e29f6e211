"""Training in a process of its own: `python -m trainer`, started by `core.child_process.run_child`."""

from core.child_process import answering
from trainer.contract import TrainSpec
from trainer.job import run_training

if __name__ == "__main__":
    with answering(TrainSpec) as job:
        job.answer(run_training(job.spec, job.listener))
