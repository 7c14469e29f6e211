"""The words of the forms: titles of settings whose names are none, and what the first ones mean, in a line.

Every other description is the setting's own.
"""

from __future__ import annotations

AS_USUAL, CHOOSE = "As usual", "Choose"
"""The two buttons of a group of settings."""

ADVANCED_HELP = "Everything else, under the names that a TOML file has."

TITLES = {
    "base_model": "Base model",
    "dataset": "Golden dataset",
    "limit_items": "Only the first items",
    "model_name": "Name in the registry",
    "promote": "Promote when the gate passes",
    "require": "Requirements",
    "limit": "Limits",
    "reuse": "Reuse a recorded run",
    "reuse_baseline": "Reuse recorded runs",
    "fail_unless_promoted": "Fail unless promoted",
    "prompt.system": "System text",
    "prompt.few_shot": "Solved examples from",
    "prompt.num_fewshot": "Number of solved examples",
    "prompt.template_args": "Arguments of the chat template",
    "prompt.stop": "Stop strings",
    "prompt.thinking_end": "Mark that ends thinking",
    "prompt.date": "Date that a template prints",
    "generation": "Inference",
    "generation.output": "What is asked for",
    "generation.samples": "Completions per item",
    "generation.shards": "Parts",
    "generation.max_new_tokens": "Longest completion",
    "generation.dtype": "Precision",
    "generation.device_map": "Spread over devices",
    "generation.memory_gb": "Memory of the device (GB)",
    "generation.threads": "CPU threads",
    "generation.on_truncation": "Prompt beyond the context",
    "train": "Training",
    "train.dataset": "Training set",
    "train.mix": "Several training sets",
    "train.lora": "LoRA",
    "train.on_too_long": "Trace longer than a row",
    "train.dtype": "Precision",
    "train.remat": "Recompute activations",
    "train.held_out": "Share held out",
    "train.evaluate_every": "Steps between evaluations",
    "train.checkpoint_every": "Steps between checkpoints",
    "train.keep_checkpoints": "Checkpoints kept",
    "train.data_parallel": "Devices that share rows",
    "train.fsdp": "Devices that share rows and weights",
    "train.memory_gb": "Memory of the GPU (GB)",
    "train.threads": "CPU threads",
    "gate.alpha": "Chance of a false promotion",
    "gate.category_alpha": "Level for categories",
    "gate.min_delta": "Least gain",
    "GateConfig": "Gate",
}

_MODEL = "A directory, registry:NAME@champion, the hub's ORG/NAME@REVISION, or tiny-base."

SHORT = {
    "model": _MODEL,
    "base_model": _MODEL,
    "dataset": "What is judged on: a built-in name, or the path of a KEY-vN.jsonl file.",
    "judge": "As NAME@vN. Empty: the one that the dataset is meant for.",
    "limit_items": "A quick look, on which nothing is promoted. Empty: all.",
    "model_name": "A promoted model becomes its next version. Empty: that of a registered base model; any "
    "other but tiny-base needs one.",
    "promote": "Off: decide and record, and leave the champion.",
    "prompt": "How the model is asked, the same for base and trained.",
    "prompt.thinking_end": "A closing tag, of which only what follows is judged.",
    "generation": "What runs the model, how long it may write, on which device.",
    "train": "Method, batch, precision, checkpoints and the rest.",
    "train.lora": "Low-rank adapters, for the method lora.",
    "gate": "The rule that decides on promotion.",
    "train.dataset": "A built-in name, or the path of a .jsonl file.",
    "train.steps": "Empty: once through the training set; 200 for tiny-base.",
    "train.learning_rate": "Its peak. Empty: 2e-5, for LoRA 2e-4; 2e-3 for tiny-base.",
}
