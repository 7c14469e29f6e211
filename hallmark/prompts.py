"""How a model would be asked, before it is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.child_process import run_child
from core.files import count_lines
from core.progress import current_listener
from experiments.config import EvaluateConfig, TrainRunConfig
from experiments.guarding import check_prompt
from experiments.references import resolve_model
from experiments.workspace import open_workspace
from golden.datasets import load_dataset, read_items
from golden.prompting import ResolvedPrompt, resolve_prompt
from golden.schema import Item
from inference.preview import Preview, PreviewSpec


def first_item(config: EvaluateConfig) -> tuple[int, Item, ResolvedPrompt]:
    """How many items a dataset has, the first of them, and how it is asked.

    Args:
        config: names dataset and prompt.

    Raises:
        InputError: the dataset or the prompt is unusable.
    """
    dataset = load_dataset(config.dataset)
    prompt = resolve_prompt(config.prompt)
    check_prompt(prompt, dataset)
    return count_lines(dataset.path), next(iter(read_items(dataset.path))), prompt


def preview_prompts(config: TrainRunConfig, *, traces: bool) -> Preview:
    """Render the items of a dataset, in a process of its own, and show the first of them.

    Args:
        config: names model, dataset, prompt and training set.
        traces: whether the training set is rendered too.

    Raises:
        InputError: a line of a dataset is bad or cannot be rendered, or the model is unusable.
    """
    dataset = load_dataset(config.dataset)
    prompt = resolve_prompt(config.prompt)
    check_prompt(prompt, dataset)
    longest = config.generation.max_new_tokens
    spec = PreviewSpec(
        model=resolve_model(config.base_model, open_workspace()).directory,
        dataset=dataset.path,
        train_dataset=load_dataset(config.train.dataset).path if traces else None,
        prompt=prompt,
        max_new_tokens=longest if isinstance(longest, int) else None,
        generation=config.generation,
    )
    with tempfile.TemporaryDirectory() as folder:
        return run_child(
            "inference.preview",
            spec,
            Preview,
            threads=config.generation.threads,
            log=Path(folder) / "log.txt",
            listener=current_listener(),
        )
