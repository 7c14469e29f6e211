"""How long completions may get so that every reference fits: `python -m inference.fitting`. Without torch."""

from __future__ import annotations

from core.child_process import answering
from core.load_errors import explained
from golden.chat_template import named_ends
from golden.datasets import read_items
from golden.rendering import Renderer, fit_max_new_tokens
from inference.contract import FitResult, FitSpec
from inference.loading import context_length


def fit(spec: FitSpec) -> FitResult:
    """The longest that any of some datasets asks for.

    Args:
        spec: model, datasets and prompt.

    Raises:
        InputError: the tokenizer cannot be loaded, or an item is bad or cannot be rendered.
    """
    from transformers import AutoConfig, AutoTokenizer

    with explained(spec.model):
        tokenizer = AutoTokenizer.from_pretrained(spec.model, local_files_only=True, trust_remote_code=False)
        config = AutoConfig.from_pretrained(spec.model, local_files_only=True, trust_remote_code=False)
    renderer = Renderer(tokenizer, spec.prompt, named_ends(spec.model))
    context = context_length(config)
    found = (fit_max_new_tokens(renderer, list(read_items(path)), context) for path in spec.datasets)
    return FitResult(max_new_tokens=max(found))


if __name__ == "__main__":
    with answering(FitSpec) as job:
        job.answer(fit(job.spec))
