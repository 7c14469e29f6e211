"""How long completions may get so that every reference fits: `python -m inference.fitting`. Without torch."""

from __future__ import annotations

from core.child_process import answering
from golden.datasets import read_items
from golden.rendering import Renderer, fit_max_new_tokens
from inference.contract import LONGEST, FitResult, FitSpec
from inference.loading import context_length, load_config, load_tokenizer


def fit(spec: FitSpec) -> FitResult:
    """The longest that any of some datasets asks for.

    Args:
        spec: model, datasets and prompt.

    Raises:
        InputError: the tokenizer cannot be loaded, or an item is bad or cannot be rendered.
    """
    context = context_length(load_config(spec.model))
    renderer = Renderer(load_tokenizer(spec.model), spec.prompt)
    found = (fit_max_new_tokens(renderer, list(read_items(path)), context) for path in spec.datasets)
    return FitResult(max_new_tokens=min(LONGEST, max(found)))


if __name__ == "__main__":
    with answering(FitSpec) as job:
        job.answer(fit(job.spec))
