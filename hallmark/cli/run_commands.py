"""`hallmark experiment`, `baseline`, `train`, `evaluate`, `reproduce`: the commands that run models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hallmark.cli.terminal import Json, emit

if TYPE_CHECKING:
    from experiments.config import EvaluateConfig, ExperimentConfig
    from experiments.runs import RunRef

MODEL = "A local directory, registry:NAME@ALIAS, registry:NAME@vN, or a hub id ORG/NAME@REVISION."

ConfigFile = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="TOML file with any setting; options win over it."),
]
Base = Annotated[
    str | None, typer.Option("--base-model", "-m", help=f"Model to start from. {MODEL} [default: tiny-base]")
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", help="Golden dataset: built-in name or .jsonl file. [default: golden-v1]"
    ),
]
JudgeName = Annotated[
    str | None, typer.Option("--judge", help="Judge as name@vN. [default: answer_correctness@v1]")
]
MaxNewTokens = Annotated[int | None, typer.Option(help="Longest completion, in tokens. [default: 128]")]
BatchSize = Annotated[
    int | None, typer.Option(help="Prompts per inference batch; never changes predictions. [default: 64]")
]
Threads = Annotated[int | None, typer.Option(help="CPU threads of inference and training. [default: 2]")]
TrainData = Annotated[
    str | None,
    typer.Option(
        "--train-dataset", help="Training dataset: built-in name or .jsonl file. [default: train-v1]"
    ),
]
Method = Annotated[
    str | None, typer.Option(help="full trains every weight, lora trains adapters. [default: full]")
]
Steps = Annotated[int | None, typer.Option(help="Training steps. [default: 200]")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate. [default: 0.002]")]
Seed = Annotated[int | None, typer.Option(help="Seed of the training data's order. [default: 0]")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other setting, as in train.batch_size=16. Repeatable."
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model-name", "-n", help="Registered model that the trained one may join. [default: tiny-reasoner]"
    ),
]


def experiment(
    config: ConfigFile = None,
    base_model: Base = None,
    dataset: Dataset = None,
    train_dataset: TrainData = None,
    model_name: ModelName = None,
    method: Method = None,
    steps: Steps = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    judge: JudgeName = None,
    max_new_tokens: MaxNewTokens = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    settings: Set = None,
    promote: Annotated[
        bool | None,
        typer.Option("--promote/--no-promote", help="Promote when the gate passes. [default: promote]"),
    ] = None,
    reuse_baseline: Annotated[
        bool | None,
        typer.Option(
            "--reuse-baseline/--no-reuse-baseline",
            help="Take a recorded baseline of the same inputs. [default: reuse]",
        ),
    ] = None,
    fail_unless_promoted: Annotated[
        bool, typer.Option("--fail-unless-promoted", help="Exit with 5 when the gate says no, for CI.")
    ] = False,
    json: Json = False,
) -> None:
    """Base against trained on a golden dataset: predict, judge, train, compare, and promote the better one.

    Without options: the built-in tiny base model, golden-v1 and train-v1, in about two minutes on two CPU cores.
    """
    values = {
        "base_model": base_model,
        "dataset": dataset,
        "model_name": model_name,
        "judge": judge,
        "promote": promote,
        "reuse_baseline": reuse_baseline,
        "fail_unless_promoted": fail_unless_promoted or None,
        **_generation(max_new_tokens, batch_size, threads),
        **_training(train_dataset, method, steps, learning_rate, seed, threads),
        **parse_settings(settings),
    }
    from experiments.result import ExperimentResult
    from hallmark.cli.local_prefect import run_flow
    from hallmark.cli.verdict_display import show_verdict

    wanted = _experiment_config(config, values)
    _check_experiment(wanted)

    def load() -> Any:
        from flows.experiment import experiment as flow

        return flow

    verdict: ExperimentResult = run_flow(load, wanted.model_copy(update={"fail_unless_promoted": False}))
    if json:
        emit(verdict.model_dump(mode="json"))
    else:
        show_verdict(verdict)
    if wanted.fail_unless_promoted and not verdict.stands:
        raise typer.Exit(5)


def baseline(
    base_model: Base = None,
    dataset: Dataset = None,
    judge: JudgeName = None,
    max_new_tokens: MaxNewTokens = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    reuse: Annotated[
        bool, typer.Option("--reuse/--no-reuse", help="Take a recorded run of exactly the same inputs.")
    ] = True,
    json: Json = False,
) -> None:
    """Judge the base model on a golden dataset; nothing is trained."""
    _evaluate(
        "baseline",
        base_model,
        dataset,
        judge,
        {**_generation(max_new_tokens, batch_size, threads), "reuse": reuse},
        json,
    )


def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL)],
    dataset: Dataset = None,
    judge: JudgeName = None,
    max_new_tokens: MaxNewTokens = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    reuse: Annotated[
        bool, typer.Option("--reuse/--no-reuse", help="Take a recorded run of exactly the same inputs.")
    ] = True,
    json: Json = False,
) -> None:
    """Judge any model on a golden dataset: a directory, a registered version, or one from the hub."""
    _evaluate(
        "evaluate",
        model,
        dataset,
        judge,
        {**_generation(max_new_tokens, batch_size, threads), "reuse": reuse},
        json,
    )


def train(
    config: ConfigFile = None,
    base_model: Base = None,
    dataset: Dataset = None,
    train_dataset: TrainData = None,
    method: Method = None,
    steps: Steps = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    judge: JudgeName = None,
    max_new_tokens: MaxNewTokens = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    settings: Set = None,
    json: Json = False,
) -> None:
    """Fine-tune a model and judge it on a golden dataset; nothing is compared or promoted."""
    values = {
        "base_model": base_model,
        "dataset": dataset,
        "judge": judge,
        **_generation(max_new_tokens, batch_size, threads),
        **_training(train_dataset, method, steps, learning_rate, seed, threads),
        **parse_settings(settings),
    }
    from hallmark.cli.local_prefect import run_flow

    wanted = _experiment_config(config, values).trained()
    _check_training(wanted)

    def load() -> Any:
        from flows.train import train as flow

        return flow

    _report_run(run_flow(load, wanted), json)


def reproduce(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN|NAME@vN", help="Run id, a unique beginning of one, or a model version."),
    ],
    json: Json = False,
) -> None:
    """Repeat a recorded run from its manifest and compare the bytes. Exits with 3 when weights, predictions or scores differ."""
    from experiments.reproducing import plan_reproduction
    from experiments.workspace import open_workspace
    from hallmark.cli.local_prefect import run_flow
    from hallmark.cli.reproduction_display import show_reproduction

    plan_reproduction(target, open_workspace())  # finds bad input before Prefect starts

    def load() -> Any:
        from flows.reproduce import reproduce as flow

        return partial(flow, fail_unless_identical=False)

    reproduction = run_flow(load, target)
    if json:
        emit(reproduction.model_dump(mode="json"))
    else:
        show_reproduction(reproduction)
    if not reproduction.identical:
        raise typer.Exit(3)


def _evaluate(
    name: str, model: str | None, dataset: str | None, judge: str | None, more: dict[str, Any], json: bool
) -> None:
    from core.config import validated
    from experiments.config import EvaluateConfig, nested
    from hallmark.cli.local_prefect import run_flow

    wanted = validated(
        EvaluateConfig, nested({"model": model, "dataset": dataset, "judge": judge, **more}), "configuration"
    )
    _check_evaluation(wanted)

    def load() -> Any:
        from flows import evaluate as flows

        return getattr(flows, name)

    _report_run(run_flow(load, wanted), json)


def _report_run(run: RunRef, json: bool) -> None:
    from experiments.workspace import open_workspace
    from hallmark.cli.run_display import run_document, show_run

    registry = open_workspace().registry
    if json:
        emit(run_document(registry, run.run_id, reused=run.reused))
    else:
        show_run(registry, run.run_id, reused=run.reused)


def _generation(max_new_tokens: int | None, batch_size: int | None, threads: int | None) -> dict[str, Any]:
    return {
        "generation.max_new_tokens": max_new_tokens,
        "generation.batch_size": batch_size,
        "generation.threads": threads,
    }


def _training(
    dataset: str | None,
    method: str | None,
    steps: int | None,
    rate: float | None,
    seed: int | None,
    threads: int | None,
) -> dict[str, Any]:
    return {
        "train.dataset": dataset,
        "train.method": method,
        "train.steps": steps,
        "train.learning_rate": rate,
        "train.seed": seed,
        "train.threads": threads,
    }


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; values are TOML where they parse as TOML, else text."""
    import tomllib

    from core.errors import InputError

    values: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--set {pair}: expected NAME=VALUE, as in train.batch_size=16")
        try:
            values[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = text
    return values


def _experiment_config(file: str | None, values: dict[str, Any]) -> ExperimentConfig:
    from experiments.config import load_experiment_config

    return load_experiment_config(file, values)


def _check_experiment(config: ExperimentConfig) -> None:
    """Find bad input before Prefect starts, which takes seconds. The flow checks again, for those who start it elsewhere."""
    _check_training(config.trained())


def _check_training(config: Any) -> None:
    from experiments.plan import plan_training
    from experiments.workspace import open_workspace

    plan_training(config, open_workspace())


def _check_evaluation(config: EvaluateConfig) -> None:
    from experiments.plan import plan_evaluation
    from experiments.workspace import open_workspace

    plan_evaluation(config, open_workspace())
