"""Settings that suit the model and the data, where nobody chose them; settled before anything starts.

With the built-in tiny base, and with what was trained from it, they are fixed numbers. With any other model
they come from the model and the data: how long a trace and a reference are in its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from core.child_process import run_child
from core.errors import InputError
from core.files import sha256_file
from core.progress import announce, current_listener
from experiments.references import REGISTRY_PREFIX, TINY_BASE, TINY_BASE_DIRECTORY
from golden.prompting import ResolvedPrompt
from golden.rendering import completion_of
from golden.schema import Trace
from inference.contract import FitResult, FitSpec, GenerationConfig
from trainer.contract import SettledTrainConfig, SettleSpec, Settling, TrainConfig

TINY_MODEL_NAME = "tiny-reasoner"
TINY_MAX_NEW_TOKENS = 128
TINY_TRAINING = MappingProxyType(
    {
        "steps": 200,
        "batch_size": 32,
        "sequence_length": 128,
        "learning_rate": 2e-3,
        "warmup_steps": 10,
    }
)
TOKENIZER = "tokenizer.json"
LOG = Path("cache", "plan.log")
"""What the libraries print that measure a dataset, below the home folder."""


def is_tiny(model: Path) -> bool:
    """Whether a model is the built-in tiny base, or was trained from it: training keeps the tokenizer, which
    no other model has.

    Args:
        model: its directory.
    """
    path = model / TOKENIZER
    return path.is_file() and sha256_file(path) == sha256_file(TINY_BASE_DIRECTORY / TOKENIZER)


def model_name_for(base: str) -> str:
    """The name in the registry of what is trained from a model, where nobody gave one: that of the registered
    model itself, or that of the tiny base's descendants.

    Args:
        base: reference of the model.

    Raises:
        InputError: no other model has a name.

    Example:
        >>> model_name_for("registry:support@champion")
        'support'
    """
    if base == TINY_BASE:
        return TINY_MODEL_NAME
    if base.startswith(REGISTRY_PREFIX):
        return base.removeprefix(REGISTRY_PREFIX).partition("@")[0]
    raise InputError(
        f"model_name: what is trained from {base} needs a name in the registry, under which its versions are "
        "kept. Give one, as in --model-name support."
    )


def settle_generation(
    config: GenerationConfig,
    model: Path,
    datasets: Iterable[Path],
    prompt: ResolvedPrompt,
    home: Path,
) -> GenerationConfig:
    """The generation settings with `max_new_tokens` as a number.

    Args:
        config: what a person chose.
        model: the directory of the model whose tokens count; in an experiment the base model's.
        datasets: files of the golden datasets that are judged on.
        prompt: how the model is asked.
        home: what libraries print is kept below it.

    Raises:
        InputError: the tokenizer cannot be loaded, or an item is bad or cannot be rendered.
    """
    if isinstance(config.max_new_tokens, int):
        return config
    if config.max_new_tokens is None and is_tiny(model):
        return config.model_copy(update={"max_new_tokens": TINY_MAX_NEW_TOKENS})
    spec = FitSpec(model=model, datasets=list(datasets), prompt=prompt)
    found = run_child(
        "inference.fitting",
        spec,
        FitResult,
        threads=config.threads,
        log=home / LOG,
        listener=current_listener(),
    )
    announce("plan:", f"max_new_tokens {found.max_new_tokens:,} (fit: every reference is shorter)")
    return config.model_copy(update={"max_new_tokens": found.max_new_tokens})


def settle_training(
    config: TrainConfig, model: Path, train: Path, prompt: ResolvedPrompt, home: Path, *, characters: int
) -> SettledTrainConfig:
    """The training settings with nothing left open.

    Args:
        config: what a person chose.
        model: the directory of the base model.
        train: file of the training set.
        prompt: how the model is asked.
        home: what libraries print is kept below it.
        characters: of the longest trace. The tokens of the tiny base are single characters, so there is often
            no need to load its tokenizer.

    Raises:
        InputError: the training set does not suit the model or the settings, as where traces are too long.
    """
    if is_tiny(model):
        config = filled(config)
        fits = prompt == ResolvedPrompt() and characters < (config.sequence_length or 0)
        if fits and config.steps is not None:
            return SettledTrainConfig.model_validate(config.model_dump())
    found = measure_training(config, model, train, prompt, home)
    announce("plan:", found.sentence)
    return found.config


def measure_training(
    config: TrainConfig, model: Path, train: Path, prompt: ResolvedPrompt, home: Path
) -> Settling:
    """Tokenise a training set in a process of its own, and settle what the settings leave open.

    Args:
        config: what a person chose.
        model: the directory of the base model.
        train: file of the training set.
        prompt: how the model is asked.
        home: what libraries print is kept below it.

    Raises:
        InputError: see `settle_training`.
    """
    return run_child(
        "trainer.settling",
        SettleSpec(base=model, dataset=train, prompt=prompt, config=config),
        Settling,
        threads=config.threads,
        log=home / LOG,
        listener=current_listener(),
    )


def filled(config: TrainConfig) -> TrainConfig:
    """The settings with those of the tiny base where nobody chose any; steps stay open beside epochs."""
    open_ = {name: value for name, value in TINY_TRAINING.items() if getattr(config, name) is None}
    if config.epochs is not None:
        open_.pop("steps", None)
    return config.model_copy(update=open_)


def characters(trace: Trace) -> int:
    """At least as many as there are tokens in a trace, where each is a character: plain text needs a few more
    between the turns and at the end.
    """
    taught = "" if trace.turns[-1].role == "assistant" else completion_of(trace)
    said = [trace.system or "", *(turn.content for turn in trace.turns), taught]
    return sum(len(text) + 2 for text in said) + 1
