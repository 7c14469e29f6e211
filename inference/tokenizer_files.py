"""Is the tokenizer of a model directory whole, and does the model know every token that it writes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.model_files import read_object

TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (TOKENIZER, "tokenizer.model", "vocab.json")
JSON_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.json",
)


def check_tokenizer(path: Path, files: Mapping[str, Path], rows: int | None) -> None:
    """Refuse a tokenizer that is missing, damaged, or writes tokens that the embeddings have no row for.

    A token that nothing but a text with its very name would give, such as the image token of Gemma 3, may be
    beyond the rows; so may the padding token, in whose place another is used. Texts are checked when they are
    encoded.

    Args:
        path: the model directory.
        files: its files by name.
        rows: how many rows the input embeddings have; None where that is not known.

    Raises:
        InputError: names the file, or the token, its id and the rows; and what to do.
    """
    documents = {name: read_object(files[name]) for name in JSON_FILES if name in files}
    _check_ends(files, documents.get("generation_config.json", {}))
    if TOKENIZER not in files:
        _check_parts(path, files)
        return
    tokenizer = read_object(files[TOKENIZER])
    if not isinstance(tokenizer.get("model"), dict):
        raise InputError(
            f"{files[TOKENIZER]}: model: missing, so it holds no vocabulary. Take the file from the model's "
            "source."
        )
    if rows is not None:
        _check_ids(files, documents, tokenizer, rows)


def _check_parts(path: Path, files: Mapping[str, Path]) -> None:
    """No tokenizer.json: the two files of GPT-2's tokenizer will do, others have to be converted."""
    if "vocab.json" in files and "merges.txt" in files:
        return
    if "tekken.json" in files:
        raise InputError(
            f"{files['tekken.json']}: a tokenizer for mistral-common alone. Take the version of the model "
            f"for transformers, with a {TOKENIZER}."
        )
    if models := [name for name in files if name.endswith((".model", ".tiktoken"))]:
        raise InputError(
            f"{files[models[0]]}: has to be converted to {TOKENIZER} first. Once, with `pip install "
            "transformers sentencepiece protobuf tiktoken`: "
            f"AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), where FOLDER is {str(path)!r}."
        )
    if "vocab.json" in files:
        raise InputError(f"{path}: vocab.json without merges.txt. Download the model's tokenizer again.")
    raise InputError(f"{path}: no tokenizer (looked for {', '.join(TOKENIZER_FILES)})")


def _check_ends(files: Mapping[str, Path], generation: Mapping[str, Any]) -> None:
    for field in ("eos_token_id", "pad_token_id", "bos_token_id"):
        value = generation.get(field)
        numbers = value if isinstance(value, list) else [value]
        if value is not None and not all(type(number) is int for number in numbers):
            raise InputError(
                f"{files['generation_config.json']}: {field}: {value!r}; expected a token id, or a list of "
                "them"
            )


def _check_ids(
    files: Mapping[str, Path],
    documents: Mapping[str, Mapping[str, Any]],
    tokenizer: Mapping[str, Any],
    rows: int,
) -> None:
    added = dict(_added(tokenizer.get("added_tokens")))
    beyond = sorted(
        (number, token)
        for token, number in (*_pieces(tokenizer["model"].get("vocab")), *added.items())
        if number >= rows and (token not in added or _is_used(token, files, documents))
    )
    if beyond:
        number, token = beyond[0]
        more = f", and {len(beyond) - 1} more tokens are beyond it too" if len(beyond) > 1 else ""
        raise InputError(
            f"{files[TOKENIZER]}: token {token!r} has id {number}, but the embeddings have {rows} rows, for "
            f"ids up to {rows - 1}{more}. The model does not know this token: take the tokenizer that it was "
            "trained with, or give it the rows with model.resize_token_embeddings(len(tokenizer)) and train "
            "them."
        )


def _pieces(vocabulary: Any) -> Iterator[tuple[str, int]]:
    """Pieces and ids of a tokenizer's model, which holds them by name (BPE) or in order (Unigram)."""
    if isinstance(vocabulary, dict):
        yield from ((piece, number) for piece, number in vocabulary.items() if isinstance(number, int))
    elif isinstance(vocabulary, list):
        yield from ((str(entry[0]), number) for number, entry in enumerate(vocabulary) if entry)


def _added(tokens: Any) -> Iterator[tuple[str, int]]:
    for token in tokens if isinstance(tokens, list) else []:
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            yield str(token.get("content")), token["id"]


def _is_used(token: str, files: Mapping[str, Path], documents: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether prompts or completions hold an added token: as beginning or end, or by the template."""
    settings = documents.get("tokenizer_config.json", {})
    special = documents.get("special_tokens_map.json", {})
    named = [each.get(field) for each in (settings, special) for field in ("bos_token", "eos_token")]
    if token in [name.get("content") if isinstance(name, dict) else name for name in named]:
        return True
    templates = [str(settings.get("chat_template") or ""), str(documents.get("chat_template.json", ""))]
    if (file := files.get("chat_template.jinja")) is not None:
        templates.append(file.read_text(encoding="utf-8", errors="replace"))
    return any(token in template for template in templates)
