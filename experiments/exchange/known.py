"""What is known of how imported predictions were made: what the file says, what its prompts prove, what a
person gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from core.errors import InputError
from core.suggestions import did_you_mean
from experiments.exchange.matching import Matched, proved
from experiments.exchange.rows import SAMPLES_EACH
from golden.prompting import PromptConfig, ResolvedPrompt
from golden.schema import Item
from inference.contract import GenerationConfig

FACTS = ("reached_max_new_tokens", "truncated_prompts")
"""What is counted beside the predictions: which answers, and which prompts, were cut off."""
LONGEST, TEMPERATURE = "generation.max_new_tokens", "generation.temperature"
OF_TEXT = ("prompt.system", "prompt.instruction", "prompt.few_shot", "prompt.template_args", "prompt.date")
OF_TURNS = ("prompt.system", "prompt.instruction", "prompt.few_shot")
"""What a prompt proves: as text that no chat template made, and as turns."""
ASKED = (
    *OF_TEXT,
    "prompt.stop",
    "generation.engine",
    LONGEST,
    TEMPERATURE,
    "generation.top_p",
    "generation.seed",
    "generation.dtype",
)
"""Conditions of a comparison that nothing but the file or a person can say. The others are the same for all
imported predictions: judged here.
"""
KNOWABLE = (*ASKED, *FACTS)
SAID_BESIDE = ("prompt.num_fewshot", "generation.output", SAMPLES_EACH)
"""What files say too; it is never unknown."""
ALL = "all"
Source = Literal["file", "given", "prompts"]


def check_names(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises an InputError where a person says something of a setting that imports do not have."""
    if wrong := [name for name in known if name not in (*KNOWABLE, ALL)]:
        some = f"{ALL}, or some of {', '.join(KNOWABLE)}"
        raise InputError(f"--known {wrong[0]}: expected {some}.{did_you_mean(wrong[0], KNOWABLE)}")
    if "generation.endpoint" in given:
        raise InputError("generation.endpoint: is not for imported predictions, which were made already")


def check_agreement(path: Path, told: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises an InputError where a file says otherwise than a person."""
    for name in told.keys() & given.keys():
        one, other = told[name], given[name]
        if one != other and str(one) != str(other):
            raise InputError(
                f"{path}: says {name} = {one!r}, and {other!r} is given. Leave it out, if the file is right."
            )


def check_foreign(path: Path, foreign: Mapping[str, Any], claimed: Iterable[str]) -> None:
    """Raises an InputError where a person says something of a setting of which a file says what no value of
    ours says.
    """
    for name in claimed:
        if name in foreign:
            raise InputError(
                f"{path}: says {name} = {foreign[name]!r}, which is no value that runs here can have, so it "
                "stays unknown. Leave the option out."
            )


def check_defaults(
    path: Path, told: Mapping[str, Any], given: Mapping[str, Any], known: Sequence[str]
) -> None:
    """Raises an InputError where a file says otherwise than the defaults that a person says it had."""
    usual = {"prompt": PromptConfig().model_dump(), "generation": GenerationConfig().model_dump()}
    for name in known:
        part, _, rest = name.partition(".")
        if not rest or name not in told or name in given or name == LONGEST:
            continue
        if told[name] != (default := usual[part][rest]):
            raise InputError(
                f"{path}: says {name} = {told[name]!r}, and --known {name} says {default!r}, its default. "
                "Leave it out, if the file is right."
            )


def check_drawn(known: Sequence[str]) -> None:
    """Raises an InputError where several samples are said to be greedy by leaving out how they were drawn."""
    if TEMPERATURE in known:
        raise InputError(
            f"--known {TEMPERATURE}: by its default nothing is drawn, and each item has several samples. "
            f"Give the number: --set {TEMPERATURE}=0.7"
        )


def named(given: Mapping[str, Any], known: Sequence[str]) -> set[str]:
    """The conditions that a person says something of. The longest completion has no default that could be
    meant.

    Raises:
        InputError: it is said to be known, and no number is given.
    """
    named = {name for name in KNOWABLE if any(_is_part(each, name) for each in given)}
    if LONGEST in known and LONGEST not in given:
        raise InputError(f"--known {LONGEST}: has no default. Give the number: --max-new-tokens N")
    return named | (set(KNOWABLE) - {LONGEST} if ALL in known else set(known))


def _is_part(name: str, of: str) -> bool:
    return name == of or name.startswith(f"{of}.")


def shown_by_prompts(
    path: Path, matched: Matched, items: Sequence[Item], prompt: ResolvedPrompt, sources: Mapping[str, Source]
) -> dict[str, Source]:
    """What the file's prompts prove of how the model was asked.

    Raises:
        InputError: they show that it was asked otherwise than is said.
    """
    proof, otherwise = proved(matched.taken, items, prompt)
    if otherwise is not None:
        if said := [name for name in OF_TURNS if sources.get(name) == "given"]:
            row = matched.taken[otherwise]
            raise InputError(
                f"{path}: {row.where}: item {otherwise} was asked otherwise than {', '.join(said)} would "
                "have it. Give these settings as they were, or leave them out."
            )
        return {}
    names = OF_TEXT if proof == "text" else OF_TURNS if proof == "turns" else ()
    return dict.fromkeys(names, "prompts")
