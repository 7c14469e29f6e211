"""How a model with a tokenizer is asked, and how what it wrote is read, by every engine that loads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.files import sha256_file
from core.progress import announce
from core.tensors import sha256_tensors
from golden.rendering import Renderer
from golden.schema import Item
from inference.batching import Prompt
from inference.contract import PredictSpec
from inference.decoding import Writing, pad_token
from inference.loading import context_length, tokenizer_sha256
from inference.prompts import make_prompts


class Asking:
    """Prompts, ends and padding of a local model.

    Args:
        spec: the job.
        tokenizer: a Hugging Face tokenizer.
        config: of transformers, for the model.
        rows: of the model's embedding.
    """

    def __init__(self, spec: PredictSpec, tokenizer: Any, config: Any, rows: int) -> None:
        self.spec = spec
        self.renderer = Renderer(tokenizer, spec.prompt)
        self.context = context_length(config)
        self.rows = rows
        for note in self.renderer.notes():
            announce("prompt:", note)

    @property
    def ends(self) -> list[int]:
        """Every id at which a completion ends."""
        return list(self.renderer.ends)

    @property
    def pad(self) -> int:
        """The padding id."""
        return pad_token(self.renderer.tokenizer, self.renderer.ends, self.rows)

    @property
    def writing(self) -> Writing:
        """Turns token ids into predictions."""
        return Writing(self.renderer.tokenizer, self.renderer.ends, self.spec.prompt.config.stop)

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `inference.prompts.make_prompts`."""
        return make_prompts(items, self.renderer, self.spec.generation, context=self.context, rows=self.rows)

    def about(self, items: Sequence[Item]) -> dict[str, Any]:
        """The fields of `PredictionMeta` that follow from the model's files and the prompts."""
        template = self.renderer.template
        return {
            "tokenizer_sha256": tokenizer_sha256(self.spec.directory),
            "weights_bytes": sum(size for _, size, _ in weights(self.spec.directory)),
            "tensors_sha256": sha256_tensors(self.spec.directory),
            "prompt_template": template.id,
            "template_name": template.name,
            "date": str(template.date) if template.prints_date else None,
            "stop": self.spec.prompt.config.stop,
            "thinking_closed": self._thinking_closed(items),
        }

    def _thinking_closed(self, items: Sequence[Item]) -> bool | list[str]:
        """Whether all prompts end thinking, or none; else the items of those that do."""
        closed = [item.trace_id for item in items if self.renderer.closes_thinking(item)]
        return closed if 0 < len(closed) < len(items) else bool(closed)


def weights(model: Path) -> list[tuple[str, int, str]]:
    """Name, size in bytes and sha256 of each safetensors file."""
    return [
        (path.name, path.stat().st_size, sha256_file(path)) for path in sorted(model.glob("*.safetensors"))
    ]
