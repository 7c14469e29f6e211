"""Whether a model can be asked, and how long its completions may get: `python -m inference.fitting`. Without
torch.
"""

from __future__ import annotations

from core.child_process import answering
from core.windows import windows
from golden.datasets import read_items
from golden.rendering import RENDERED, Renderer, fit_max_new_tokens
from golden.tokenizer import load_tokenizer
from inference.contract import LONGEST, FitResult, FitSpec
from inference.loading import context_length, load_config
from inference.prompts import Asked, make_prompts


def fit(spec: FitSpec) -> FitResult:
    """The longest completion: the number that was chosen, else the longest that any of some datasets asks
    for. With it every prompt is made, as inference will.

    Args:
        spec: model, datasets, prompt and settings.

    Raises:
        InputError: the tokenizer cannot be loaded, an item is bad, or one cannot be asked.
    """
    config = load_config(spec.model)
    context = context_length(config)
    renderer = Renderer(load_tokenizer(spec.model), spec.prompt)
    settings = spec.generation
    if not isinstance(settings.max_new_tokens, int):
        found = max(fit_max_new_tokens(renderer, read_items(path), context) for path in spec.datasets)
        settings = settings.model_copy(update={"max_new_tokens": min(LONGEST, found)})
    rows = int(config.get_text_config().vocab_size)
    for path in spec.datasets:
        asked = Asked()
        for items in windows(read_items(path), RENDERED):
            asked.add(make_prompts(items, renderer, settings, context=context, rows=rows))
        asked.refuse_truncated(settings)
    return FitResult(max_new_tokens=settings.longest)


if __name__ == "__main__":
    with answering(FitSpec) as job:
        job.answer(fit(job.spec))
