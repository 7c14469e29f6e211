"""How long completions may get so that every reference fits: `python -m inference.fitting`. Without torch."""

from __future__ import annotations

from core.child_process import answering
from golden.datasets import read_items
from golden.rendering import encode_prompt, render_completion
from inference.contract import FitResult, FitSpec


def fit(spec: FitSpec) -> FitResult:
    """The longest that any of some datasets asks for.

    Args:
        spec: model, datasets and prompt.

    Raises:
        InputError: the tokenizer cannot be loaded, or an item is bad or cannot be rendered.
    """
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.model, local_files_only=True, trust_remote_code=False)
    config = AutoConfig.from_pretrained(spec.model, local_files_only=True, trust_remote_code=False)
    context = int(getattr(config.get_text_config(), "max_position_embeddings", 1 << 30))
    found = 0
    for path in spec.datasets:
        items = list(read_items(path))
        longest = max(
            len(tokenizer.encode(render_completion(item.steps, each), add_special_tokens=False))
            for item in items
            for each in item.accepted
        )
        prompt = max(len(encode_prompt(tokenizer, item, spec.prompt)) for item in items)
        wanted = max(64, -(-(longest * 3 // 2 + 32) // 32) * 32)
        found = max(found, max(1, min(wanted, max(context - prompt, context // 4))))
    return FitResult(max_new_tokens=found)


if __name__ == "__main__":
    with answering(FitSpec) as job:
        job.answer(fit(job.spec))
