"""Settings that suit the model and the data, where nobody chose them; settled before anything starts.

With the built-in tiny base, and with what was trained from it, they are fixed numbers. With any other model
they come from the model and the data: how long a trace and a reference are in its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from core.child_process import run_child
from core.files import read_json, sha256_file
from core.progress import announce, current_listener
from experiments.engines import engine_python
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import read_items
from golden.prompting import ResolvedPrompt
from golden.rendering import THINKING, completion_of, render_completion
from golden.schema import Item, Trace
from inference.contract import LONGEST, FitResult, FitSpec, GenerationConfig
from inference.loading import tokenizer_sha256
from trainer.contract import SettledTrainConfig, SettleSpec, Settling, TrainConfig

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
SERVED_MAX_NEW_TOKENS = 1024
"""Where nobody chose how long an endpoint's completions may get: as long as chat models mostly need."""
BYTES_PER_TOKEN = 2
"""Fewer than tokens have in any language that a tokenizer was made for."""
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


def settle_generation(
    config: GenerationConfig,
    model: Path | None,
    datasets: Iterable[Path],
    prompt: ResolvedPrompt,
    home: Path,
    *,
    check: bool = False,
) -> GenerationConfig:
    """The generation settings with `max_new_tokens` as a number.

    Args:
        config: what a person chose.
        model: the directory of the model whose tokens count; in an experiment the base model's. None for
            one that an endpoint serves, whose tokens nobody knows.
        datasets: files of the golden datasets that are judged on.
        prompt: how the model is asked.
        home: what libraries print is kept below it.
        check: make every prompt, as inference will, also where there is a number already: for what is
            predicted hours later.

    Raises:
        InputError: the tokenizer cannot be loaded, an item is bad, or its prompt cannot be made.
        ResourceError: the engine is not installed.
    """
    files = list(datasets)
    if model is None:
        return _settle_served(config, files, prompt)
    if config.output == "log_probs" and not isinstance(config.max_new_tokens, int):
        config = config.model_copy(update={"max_new_tokens": 1})  # nothing is written
    engine_python(config)  # one that is not installed is met before anything else
    if config.max_new_tokens is None and is_tiny(model):
        config = config.model_copy(update={"max_new_tokens": TINY_MAX_NEW_TOKENS})
    chosen = isinstance(config.max_new_tokens, int)
    if chosen and (not check or _surely_fits(config, model, files, prompt)):
        return config
    spec = FitSpec(model=model, datasets=files, prompt=prompt, generation=config)
    found = run_child(
        "inference.fitting",
        spec,
        FitResult,
        threads=config.threads,
        log=home / LOG,
        listener=current_listener(),
    )
    if chosen:
        return config
    announce("plan:", f"max_new_tokens {found.max_new_tokens:,} (fit: every reference is shorter)")
    return config.model_copy(update={"max_new_tokens": found.max_new_tokens})


def _settle_served(
    config: GenerationConfig, datasets: Iterable[Path], prompt: ResolvedPrompt
) -> GenerationConfig:
    """The same where the tokenizer is not known: room for what chat models mostly write, for half as much
    again as the longest reference, and for thinking where the settings name its end.
    """
    if isinstance(config.max_new_tokens, int):
        return config
    longest = max(
        (
            len(render_completion(item.steps, each).encode())
            for path in datasets
            for item in read_items(path)
            for each in item.accepted
        ),
        default=0,
    )
    needed = -(-(longest // BYTES_PER_TOKEN * 3 // 2 + 32) // 32) * 32
    found = max(SERVED_MAX_NEW_TOKENS, needed) + (THINKING if prompt.config.thinking_end else 0)
    found = min(found, LONGEST)
    announce("plan:", f"max_new_tokens {found:,} (the endpoint's tokenizer is not known)")
    return config.model_copy(update={"max_new_tokens": found})


def _surely_fits(
    config: GenerationConfig, model: Path, datasets: Iterable[Path], prompt: ResolvedPrompt
) -> bool:
    """Whether every prompt can be made, which is plain with the tiny base: its tokens are single characters,
    and without settings nothing stands around a question.
    """
    if prompt != ResolvedPrompt() or tokenizer_sha256(model) != tokenizer_sha256(TINY_BASE_DIRECTORY):
        return False
    room = read_json(model / "config.json").get("max_position_embeddings", 0) - config.longest
    return all(prompt_characters(item) <= room for path in datasets for item in read_items(path))


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
    return prompt_characters(trace) + len(taught) + 2


def prompt_characters(line: Item | Trace) -> int:
    """The same for its turns alone."""
    said = [line.system or "", *(turn.content for turn in line.turns)]
    return sum(len(text) + 2 for text in said) + 1
