"""How a model with a tokenizer is asked, and how what it wrote is read, by every engine that loads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

    def about(self) -> dict[str, Any]:
        """The fields of `PredictionMeta` that follow from the model's files and the settings."""
        template = self.renderer.template
        return {
            "tokenizer_sha256": tokenizer_sha256(self.spec.directory),
            "weights_bytes": weights_bytes(self.spec.directory),
            "tensors_sha256": sha256_tensors(self.spec.directory),
            "prompt_template": template.id,
            "template_name": template.name,
            "date": str(template.date) if template.prints_date else None,
            "stop": self.spec.prompt.config.stop,
        }


def weights(model: Path) -> list[Path]:
    """The safetensors files of a model directory."""
    return sorted(model.glob("*.safetensors"))


def weights_bytes(model: Path) -> int:
    """The size of the safetensors files of a model directory."""
    return sum(path.stat().st_size for path in weights(model))
