"""Small tokenizers of real families: their kinds of model, special tokens and shapes of template."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

CORPUS = [
    "What is 47 + 38? Please answer in one word, and end with the answer.",
    "You are a helpful assistant. Be brief.\n\nUser asks; assistant answers: yes, no, 12+345=67890!",
    "def add(a, b):\n    return a + b  # é 漢字 🙂",
    "Answer: 85\nThe quick brown fox jumps over the lazy dog. <html></s> [INST] <|im_end|>",
]


class Family(NamedTuple):
    """What makes a family's tokenizer.

    Attributes:
        kind: of tokenizer, one of `KINDS`.
        special: special tokens, the one that ends an answer by the template among them.
        named: which of them are bos, eos and pad.
        template: the chat template; None without one.
        end: the token that ends an assistant's turn.
        takes_system: whether the template takes a system text.
    """

    kind: str
    special: tuple[str, ...]
    named: dict[str, str]
    template: str | None
    end: str
    takes_system: bool = True


def byte_level(special: list[str]) -> Any:
    """Byte-level BPE, as GPT-2, Llama 3, Qwen and SmolLM have it."""
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(CORPUS, vocab_size=400, special_tokens=special, show_progress=False)
    return made._tokenizer


def sentencepiece_bpe(special: list[str]) -> Any:
    """BPE with byte fallback over a text in which spaces are ▁, and which begins with one, as in Llama 2."""
    from tokenizers import AddedToken, SentencePieceBPETokenizer, Tokenizer, decoders, normalizers

    made = SentencePieceBPETokenizer()
    made.train_from_iterator(CORPUS, vocab_size=500, special_tokens=["<unk>", *special], show_progress=False)
    state = json.loads(made._tokenizer.to_str())
    for byte in range(256):
        state["model"]["vocab"].setdefault(f"<0x{byte:02X}>", len(state["model"]["vocab"]))
    state["model"] |= {"byte_fallback": True, "fuse_unk": True}
    state["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def unigram(special: list[str]) -> Any:
    """Unigram over ▁ words, as T5, XGLM and early Gemma-like models have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    alphabet = sorted({letter for text in CORPUS for letter in text})
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", *special],
        unk_token="<unk>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(CORPUS * 4, trainer)
    return made


KINDS: dict[str, Callable[[list[str]], Any]] = {
    "byte_level": byte_level,
    "sentencepiece_bpe": sentencepiece_bpe,
    "unigram": unigram,
}

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + "
    "'\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN_3 = (
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + "
    "'<|im_end|>\\n' }}"
    "{%- endif %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{{- '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}{%- elif m.role == 'assistant' %}"
    "{%- set content = m.content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- if loop.last %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + content }}"
    "{%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}{{- '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}{%- endif %}"
)
LLAMA_3 = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}"
    "{%- set date_string = '26 Jul 2024' %}"
    "{%- endif %}{%- endif %}{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
    "{%- else %}"
    "{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}"
    "{{- system_message + '<|eot_id|>' }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + "
    "'<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{%- endif %}"
)
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for m in loop_messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if loop.index0 == 0 and system_message %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + m['content'] %}"
    "{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + "
    "m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'system' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}{% else %}"
    "{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
GRANITE = (
    "{%- for m in messages %}{{- '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + "
    "m['content'] + "
    "'<|end_of_text|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}"
)
OLMO = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ '<|assistant|>\\n' }}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{{ '\\n' }}{% else %}"
    "{{ '<|' + m['role'] + '|>\\n' + m['content'] + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

_S, _IM = ("<s>", "</s>"), ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_SENTENCE = {"bos_token": "<s>", "eos_token": "</s>"}

FAMILIES = {
    "chatml": Family("byte_level", _IM, {"eos_token": "<|endoftext|>"}, CHATML, "<|im_end|>"),
    "qwen_3": Family("byte_level", _IM, {"eos_token": "<|im_end|>"}, QWEN_3, "<|im_end|>"),
    "llama_3": Family(
        "byte_level",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        LLAMA_3,
        "<|eot_id|>",
    ),
    "llama_2": Family("sentencepiece_bpe", _S, _SENTENCE, LLAMA_2, "</s>"),
    "mistral": Family("sentencepiece_bpe", (*_S, "[INST]", "[/INST]"), _SENTENCE, MISTRAL, "</s>"),
    "gemma": Family(
        "unigram",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        GEMMA,
        "<end_of_turn>",
        takes_system=False,
    ),
    "zephyr": Family("sentencepiece_bpe", _S, _SENTENCE, ZEPHYR, "</s>"),
    "phi_3": Family(
        "sentencepiece_bpe",
        (*_S, "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        {"bos_token": "<s>", "eos_token": "<|endoftext|>"},
        PHI_3,
        "<|end|>",
    ),
    "deepseek": Family(
        "byte_level",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        DEEPSEEK,
        "<｜end▁of▁sentence｜>",
    ),
    "granite": Family(
        "byte_level",
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        {"bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>"},
        GRANITE,
        "<|end_of_text|>",
    ),
    "olmo": Family(
        "byte_level",
        ("<|endoftext|>",),
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
        OLMO,
        "<|endoftext|>",
    ),
    "plain": Family("byte_level", ("<|endoftext|>",), {"eos_token": "<|endoftext|>"}, None, "<|endoftext|>"),
    "plain_sentencepiece": Family("sentencepiece_bpe", _S, _SENTENCE, None, "</s>"),
}


def make_tokenizer(family: str, folder: Path | None = None) -> Any:
    """A family's tokenizer, saved to a folder and loaded from there as a model's is; without one, as made."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    about = FAMILIES[family]
    made = PreTrainedTokenizerFast(tokenizer_object=KINDS[about.kind](list(about.special)), **about.named)
    made.add_special_tokens({"additional_special_tokens": list(about.special)})
    if family in ("qwen_3", "deepseek"):
        made.add_tokens(["<think>", "</think>"])
    made.chat_template = about.template
    if folder is None:
        return made
    made.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
