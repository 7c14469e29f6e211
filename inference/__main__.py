"""Inference in a process of its own: `python -m inference`, started by `core.child_process.run_child`."""

from core.child_process import answering
from inference.contract import PredictSpec
from inference.engines.load import import_engine
from inference.generate import predict

if __name__ == "__main__":
    with answering(PredictSpec, meanwhile=import_engine) as job:
        job.answer(predict(job.spec, job.listener))
