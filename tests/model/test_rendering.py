"""What a model is shown is what its chat template says, token by token, in training as in inference."""

from __future__ import annotations

import datetime
import inspect
import json
from collections.abc import Callable
from functools import cache
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from golden.prompting import NOT_OF_TEMPLATES, PromptConfig, ResolvedPrompt
from golden.rendering import (
    THINKING,
    Renderer,
    conversation,
    encode_prompt,
    encode_traces,
    fit_max_new_tokens,
)
from golden.schema import Item, Message, Trace
from tests.support.small_tokenizers import FAMILIES, make_tokenizer

pytestmark = pytest.mark.model

CHAT_FAMILIES = [name for name, family in FAMILIES.items() if family.template is not None]
IN_TEMPLATES = {"date_string": "01 Jan 2026"}
"""What the tokenizers' own call gets where ours gives the fixed date."""

family_tokenizer = cache(make_tokenizer)


def item(prompt: str | None = "What is 47 + 38?", **fields: Any) -> Item:
    return Item.model_validate(
        {"trace_id": "t", "prompt": prompt, "final_answer": "85", "category": "sums", **fields}
    )


def talk(*contents: str, system: str | None = None) -> list[Message]:
    """A conversation: user and assistant in turn."""
    said = [
        Message(role=("user", "assistant")[place % 2], content=content)
        for place, content in enumerate(contents)
    ]
    return [Message(role="system", content=system), *said] if system else said


def asked(examples: list[Item] | None = None, **settings: Any) -> ResolvedPrompt:
    return ResolvedPrompt(config=PromptConfig(**settings), examples=examples or [])


def own_ids(tokenizer: Any, turns: list[dict[str, str]], **arguments: Any) -> list[int]:
    encoded = tokenizer.apply_chat_template(turns, tokenize=True, **IN_TEMPLATES, **arguments)
    ids: list[int] = encoded["input_ids"]
    return ids


def taught_parts(tokenizer: Any, trace: Any) -> list[str]:
    """What is taught, part by part."""
    marked = zip(trace.ids, trace.bears_loss, strict=True)
    parts = groupby(marked, key=lambda pair: pair[1])
    return [tokenizer.decode([id_ for id_, _ in part]) for taught, part in parts if taught]


QUESTIONS = {
    "a question": (item(), asked()),
    "odd text": (item(" \n Was kostet é 漢字 🙂?\n\n  1,234 $\t"), asked()),
    "a history": (item(prompt=None, messages=talk("2 + 2?", "4", "And 1 more?", "5", "And 3?")), asked()),
    "an instruction and examples": (
        item(),
        asked([item("2 + 2?", final_answer="4", steps=["1+1+1+1"])], instruction="End with the answer."),
    ),
    "system text": (item(), asked(system="Be brief.")),
    "system text of its own": (item(system="Say yes."), asked(system="Be brief.")),
    "a system message": (item(prompt=None, messages=talk("2 + 2?", system="Say no.")), asked([item()])),
}


@pytest.mark.parametrize("family", CHAT_FAMILIES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_prompts_are_what_the_tokenizer_makes_of_the_conversation(family: str, question: str) -> None:
    line, prompt = QUESTIONS[question]
    turns = conversation(line, prompt)
    if turns[0]["role"] == "system" and not FAMILIES[family].takes_system:
        with pytest.raises(
            InputError, match=r"item t: .*System role not supported\. It takes no system text"
        ):
            encode_prompt(family_tokenizer(family), line, prompt)
        return
    tokenizer = family_tokenizer(family)
    assert encode_prompt(tokenizer, line, prompt) == own_ids(tokenizer, turns, add_generation_prompt=True)


def test_a_system_text_comes_first_and_the_items_own_wins() -> None:
    example = item("2 + 2?", final_answer="4", system="of the example")
    prompt = asked([example], system="of the settings", instruction="Be brief.")
    shown = [
        {"role": "user", "content": "2 + 2?\n\nBe brief."},
        {"role": "assistant", "content": "Answer: 4"},
    ]
    own = {"role": "user", "content": "What is 47 + 38?\n\nBe brief."}
    for line, text in (
        (item(), "of the settings"),
        (item(system="own"), "own"),
        (item(prompt=None, messages=talk("What is 47 + 38?", system="own")), "own"),
    ):
        assert conversation(line, prompt) == [{"role": "system", "content": text}, *shown, own]


def test_without_a_template_a_question_ends_with_a_line_feed_and_other_turns_with_two() -> None:
    renderer = Renderer(family_tokenizer("plain"), asked([item("2 + 2?", final_answer="4")], system="Add."))
    assert renderer.text(item()) == "Add.\n\n2 + 2?\nAnswer: 4\n\nWhat is 47 + 38?\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_completion_is_taught_with_an_end_at_which_inference_stops(family: str) -> None:
    tokenizer, line = family_tokenizer(family), item(steps=["40+30=70"])
    renderer = Renderer(tokenizer)
    trace = encode_traces(tokenizer, [line])[0]
    first = trace.bears_loss.index(True)
    assert trace.ids[:first] == encode_prompt(tokenizer, line)
    assert all(trace.bears_loss[first:])
    assert trace.ids[-1] == tokenizer.convert_tokens_to_ids(FAMILIES[family].end) == renderer.ends[0]
    lead = "<think>\n\n</think>\n\n" if family == "qwen_3" else ""  # what its template writes, the model must
    assert tokenizer.decode(trace.ids[first:-1]).strip() == f"{lead}40+30=70\nAnswer: 85"
    verbatim = Trace(trace_id="t", prompt="What is 47 + 38?", completion="40+30=70\nAnswer: 85")
    assert encode_traces(tokenizer, [verbatim, line]) == [trace, trace]


@pytest.mark.parametrize("family", [name for name in CHAT_FAMILIES if name != "deepseek"])
def test_a_completion_is_what_the_template_makes_of_an_assistants_turn(family: str) -> None:
    tokenizer, line = family_tokenizer(family), item()
    turns = [*conversation(line), {"role": "assistant", "content": "Answer: 85"}]
    trace = encode_traces(tokenizer, [line])[0]
    assert own_ids(tokenizer, turns)[: len(trace.ids)] == trace.ids
    as_messages = Trace(trace_id="t", messages=talk("What is 47 + 38?", "Answer: 85"))
    assert encode_traces(tokenizer, [as_messages]) == [trace], "both forms teach the same"


def test_what_a_template_writes_before_an_answer_is_taught_and_counted() -> None:
    """Command R7B opens a response, which no prompt holds; a completion that has it already has it once."""
    tokenizer = make_tokenizer("chatml")
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokenizer.all_special_tokens, "<|START|>"]})
    items = [item(final_answer="x" * 100)]
    before = fit_max_new_tokens(Renderer(tokenizer), items, None)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content'] +", "('<|START|>' * 100 if m['role'] == 'assistant' else '') + m['content'] +"
    )
    renderer = Renderer(tokenizer)
    trace = renderer.traces([item()])[0]
    assert taught_parts(tokenizer, trace) == ["<|START|>" * 100 + "Answer: 85<|im_end|>"]
    assert trace.ids.count(tokenizer.convert_tokens_to_ids("<|START|>")) == 100
    assert fit_max_new_tokens(renderer, [item(final_answer="x" * 100)], None) in range(
        before + 128, before + 161
    )


def test_a_completion_that_thinks_is_taught_verbatim() -> None:
    tokenizer, said = family_tokenizer("qwen_3"), "<think>\n47+38\n</think>\n\n85"
    line = Trace(trace_id="t", prompt="What is 47 + 38?", completion=said)
    trace = encode_traces(tokenizer, [line], asked(thinking_end="</think>"))[0]
    assert taught_parts(tokenizer, trace) == [f"{said}<|im_end|>"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_assistant_turn_of_a_conversation_is_taught_as_it_is_asked_for(family: str) -> None:
    tokenizer = family_tokenizer(family)
    said = talk("2 + 2?", "It is 4", "And 1 more?", "yes, 5")
    line = Trace(trace_id="t", messages=said)
    if family == "deepseek":  # it opens thinking for the next turn, and forgets it in the history
        with pytest.raises(InputError, match="item t: .* Give one trace for each assistant turn"):
            encode_traces(tokenizer, [line])
        return
    prompt = asked([item("1 + 1?", final_answer="2")], instruction="Be brief.")
    trace = encode_traces(tokenizer, [line], prompt)[0]
    end = FAMILIES[family].end
    parts = [part.replace("<think>\n\n</think>\n\n", "") for part in taught_parts(tokenizer, trace)]
    first_end = "" if FAMILIES[family].template is None else end
    assert [part.replace(" ", "") for part in parts] == [f"Itis4{first_end}", f"yes,5{end}"]
    assert parts[0].strip().startswith("It is 4")
    for place in (1, 3):
        history = item(prompt=None, messages=said[:place])
        ids = encode_prompt(tokenizer, history, prompt)
        assert trace.ids[: len(ids)] == ids
        assert trace.bears_loss[len(ids) - 1 : len(ids) + 1] == [False, True]


@pytest.mark.parametrize("family", FAMILIES)
def test_text_that_looks_like_a_control_token_stays_text(family: str) -> None:
    tokenizer, about = family_tokenizer(family), FAMILIES[family]
    typed = "".join(about.special) + " end " + " ".join(about.special)
    renderer = Renderer(tokenizer)
    control = tokenizer.convert_tokens_to_ids(list(about.special))

    def count(ids: list[int]) -> list[int]:
        return [ids.count(id_) for id_ in control]

    ordinary, odd = item("Which of them?"), item(f"Which of {typed} them?")
    ids = renderer.prompts([odd])[0]
    assert count(ids) == count(renderer.prompts([ordinary])[0])
    assert "".join(typed.split()) in "".join(tokenizer.decode(ids).split())
    assert typed in renderer.text(odd)
    lines = [
        Trace(trace_id="t", prompt="Which?", completion=f"It is {typed}"),
        Trace(trace_id="t", messages=talk("Which?", f"It is {typed}")),
    ]
    for trace in renderer.traces(lines if family != "deepseek" else lines[:1]):
        taught = [id_ for id_, bears in zip(trace.ids, trace.bears_loss, strict=True) if bears]
        assert [id_ for id_ in taught if id_ in control] == [renderer.ends[0]]
        assert "".join(typed.split()) in "".join(tokenizer.decode(taught).split())


def test_marks_of_thinking_in_an_answer_are_tokens_and_in_a_question_text() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [*tokenizer.all_special_tokens, "[THINK]", "[/THINK]"]}
    )
    begin, end = tokenizer.convert_tokens_to_ids(["[THINK]", "[/THINK]"])
    line = Trace(trace_id="t", prompt="Is [/THINK] odd?", completion="[THINK]yes[/THINK]no")
    ids = encode_traces(tokenizer, [line], asked(thinking_end="[/THINK]"))[0].ids
    assert (ids.count(begin), ids.count(end)) == (1, 1)
    assert not {begin, end} & set(encode_traces(tokenizer, [line])[0].ids)


def test_special_tokens_in_what_is_taught_are_counted() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [*tokenizer.all_special_tokens, "[THINK]", "[/THINK]"]}
    )
    lines = [
        Trace(trace_id="a", prompt="Is [/THINK] odd?", completion="[THINK]yes[/THINK]no[/THINK]"),
        Trace(trace_id="b", messages=talk("Which?", "hm[/THINK]no", "Is <|im_end|> odd?", "yes")),
    ]
    renderer = Renderer(tokenizer)
    assert renderer.notes() == []
    renderer.traces(lines)
    assert renderer.notes() == [
        f"the special token {token!r} is taught as text, in {count}; if it marks thinking, set "
        "prompt.thinking_end"
        for token, count in (("[/THINK]", "2 completions"), ("[THINK]", "1 completion"))
    ]
    told = Renderer(tokenizer, asked(thinking_end="[/THINK]"))
    told.traces(lines[:1])
    assert told.notes() == []


def test_a_mark_of_thinking_may_be_several_tokens() -> None:
    tokenizer = make_tokenizer("chatml")
    tokens = ["<|channel|>", "<|message|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokenizer.all_special_tokens, *tokens]})
    mark = "<|channel|>final<|message|>"
    line = Trace(trace_id="t", prompt=f"What is {mark}?", completion=f"hm{mark}no")
    ids = encode_traces(tokenizer, [line], asked(thinking_end=mark))[0].ids
    assert [ids.count(each) for each in tokenizer.convert_tokens_to_ids(tokens)] == [1, 1]


def test_an_added_word_is_no_control_token() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.add_tokens(["assistant"])
    turns = conversation(line := item("Which assistant is it?"))
    assert encode_prompt(tokenizer, line) == own_ids(tokenizer, turns, add_generation_prompt=True)


def test_a_template_that_tokenizers_do_not_read_is_refused(tmp_path: Path) -> None:
    tokenizer = make_tokenizer("plain")
    (tmp_path / "chat_template.json").write_text('{"chat_template": "{{ messages }}"}')
    tokenizer.name_or_path = str(tmp_path)
    with pytest.raises(InputError, match=r"chat_template\.json: .* Save it as chat_template\.jinja"):
        encode_prompt(tokenizer, item())


@pytest.mark.parametrize(
    "line", [item(), Trace(trace_id="t", messages=talk("2 + 2?", "hm</think>4", "And 1 more?", "5"))]
)
def test_a_completion_that_never_ends_its_thinking_is_refused(line: Item | Trace) -> None:
    prompt = asked(thinking_end="</think>")
    with pytest.raises(
        InputError, match="item t: its completion does not hold prompt.thinking_end '</think>'"
    ):
        encode_traces(family_tokenizer("chatml"), [line], prompt)
    tokenizer = family_tokenizer("qwen_3")
    off = asked(thinking_end="</think>", template_args={"enable_thinking": False})
    assert Renderer(tokenizer, off).closes_thinking(item())
    assert not Renderer(tokenizer, prompt).closes_thinking(item())
    assert encode_traces(tokenizer, [item()], off)


def test_the_templates_own_marks_decide_what_is_taught_and_its_end_is_taught_too() -> None:
    tokenizer = make_tokenizer("olmo")
    line = Trace(trace_id="t", messages=talk("2 + 2?", "4", "And 1 more?", "5"))
    before = encode_traces(tokenizer, [line])[0]
    assert taught_parts(tokenizer, before) == ["4<|endoftext|>", "5<|endoftext|>"]
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content'] + eos_token }}{% endgeneration %}", "m['content'] }}{% endgeneration %}{{ eos_token }}"
    )
    assert encode_traces(tokenizer, [line])[0] == before


def test_a_marked_part_is_taught_from_the_end_of_the_prompt_to_the_end_of_the_turn() -> None:
    """SmolLM3 marks the opening of the turn and the line feed behind its end, too."""
    tokenizer = make_tokenizer("chatml")
    line = Trace(trace_id="t", messages=talk("2 + 2?", "4", "And 1 more?", "5"))
    unmarked = encode_traces(tokenizer, [line])[0]
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{% generation %}"
        "{{ '<|im_start|>assistant\\n' + m['content'] + '<|im_end|>\\n' }}{% endgeneration %}{% else %}"
        "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    trace = encode_traces(tokenizer, [line])[0]
    assert trace == unmarked
    assert taught_parts(tokenizer, trace) == ["4<|im_end|>", "5<|im_end|>"]
    assert own_ids(tokenizer, conversation(line))[: len(trace.ids)] == trace.ids


BROKEN = {
    "no template for two questions in a row": (
        FAMILIES["gemma"].template,
        item(prompt=None, messages=[Message(role="user", content="a"), Message(role="user", content="b")]),
        r"item t: .* cannot render it: Conversation roles must alternate.* Its messages have an order",
    ),
    "a syntax error": ("{% for m in messages %}", item(), "Not even one message can be rendered"),
    "an unknown name": ("{{ tools | length }}{{ messages[0]['content'] }}", item(), "Not even one message"),
    "system text left out": (
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        item(system="Be brief."),
        "leaves the system text out. Put it into prompt.instruction instead",
    ),
    "a template for lists of parts": (
        "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}",
        item(),
        "leaves out what the user says last",
    ),
    "several templates without a default": (
        {"rag": "{{ messages }}", "tool_use": "{{ messages }}"},
        item(),
        "has the chat templates rag, tool_use, and none of them is named default",
    ),
}


def test_a_system_text_that_is_a_switch_is_taken() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = (
        "{{ 'no' if '/off' in messages[0].content else 'with' }} thoughts"
        "{{ messages[0].content.replace('/off', '').replace('/on', '') or ' by default' }}"
        "{% for m in messages if m.role != 'system' %}|{{ m.content }}{% endfor %}"
    )
    renderer = Renderer(tokenizer)
    texts = [renderer.text(item(system=system)).partition("|")[0] for system in ("/off", "/on")]
    assert texts == ["no thoughts by default", "with thoughts by default"]


def test_a_system_text_that_is_left_out_is_seen_though_the_question_holds_it() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content if m.role != 'system' }}|{% endfor %}"
    with pytest.raises(
        InputError, match=r"item t: .* leaves the system text out\. Put it into prompt\.instr"
    ):
        encode_prompt(tokenizer, item("Be brief?", system="Be brief"))


def test_a_system_text_that_only_the_last_question_takes_asks_for_a_trace_for_each_turn() -> None:
    """Mistral v0.3 writes it into the last turn, if that is the user's."""
    tokenizer = make_tokenizer("mistral")
    tokenizer.chat_template = (
        "{% set said = messages[1:] if messages[0].role == 'system' else messages %}{% for m in said %}"
        "{% if m.role == 'user' %}[INST] {{ messages[0].content + ' ' if loop.last }}{{ m.content }}[/INST]"
        "{% else %} {{ m.content + eos_token }}{% endif %}{% endfor %}"
    )
    said = talk("2 + 2?", "4", system="Be brief.")
    with pytest.raises(InputError, match=r"only where the user speaks last: give one trace for each"):
        encode_traces(tokenizer, [Trace(trace_id="t", messages=said)])
    assert encode_traces(tokenizer, [Trace(trace_id="t", messages=said[:-1], completion="4")])


@pytest.mark.parametrize("case", BROKEN)
def test_a_template_that_cannot_be_used_is_an_error_that_names_item_file_and_remedy(
    case: str, tmp_path: Path
) -> None:
    template, line, message = BROKEN[case]
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)
    tokenizer.name_or_path = str(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        encode_prompt(tokenizer, line)
    assert str(tmp_path) in str(caught.value)


def test_of_several_templates_the_default_is_used() -> None:
    tokenizer = make_tokenizer("chatml")
    alone = Renderer(tokenizer).template
    tokenizer.chat_template = {"tool_use": "{{ tools }}", "default": tokenizer.chat_template}
    several = Renderer(tokenizer)
    assert (several.template.id, several.template.name, alone.name) == (alone.id, "default", None)
    assert several.text(item()).startswith("<|im_start|>user\nWhat is 47")


def test_a_template_that_prints_the_date_prints_that_of_the_settings() -> None:
    tokenizer = family_tokenizer("llama_3")
    assert "Today Date: 01 Jan 2026\n" in Renderer(tokenizer).text(item())
    later = Renderer(tokenizer, asked(date=datetime.date(2027, 10, 9)))
    assert "Today Date: 09 Oct 2027\n" in later.text(item())
    assert later.notes() == []
    own = make_tokenizer("llama_3")
    own.chat_template = (
        "{{ date_string if date_string is defined else '26 Jul 2024' }} {{ messages[0].content }}"
    )
    renderer = Renderer(own, asked(date=datetime.date(2027, 10, 9)))
    assert renderer.text(item()) == "26 Jul 2024 What is 47 + 38?"
    assert renderer.notes() == [
        f"date changes nothing: {renderer.template.file} does not ask for today's date"
    ]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%A, %B %d, %Y", "%-d/%-m/%y", "%H:%M %j", "%d %b %Y %Z"])
def test_every_form_of_the_date_is_that_of_strftime(form: str) -> None:
    date = datetime.date(2027, 3, 4)
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = f"{{{{ strftime_now('{form}') }}}}|{{{{ messages[0].content }}}}"
    expected = datetime.datetime.combine(date, datetime.time()).strftime(form)
    assert Renderer(tokenizer, asked(date=date)).text(item()).partition("|")[0] == expected


@pytest.mark.parametrize(
    "begin", ["", "\n", " \n\n ", "  {% if true %}", "\n  {%- if true %}\n", "\t{{ ' a' }}"]
)
def test_white_space_at_the_beginning_of_a_template_that_prints_the_date_stays(begin: str) -> None:
    tokenizer = make_tokenizer("chatml")
    end = "{% endif %}" if "if" in begin else ""
    tokenizer.chat_template = begin + "{{ strftime_now('today') }} {{ messages[0].content }}" + end
    own = tokenizer.apply_chat_template(conversation(item()), tokenize=False)
    assert Renderer(tokenizer).text(item()) == own


def test_an_argument_that_the_template_does_not_mention_is_said() -> None:
    used = asked(template_args={"enable_thinking": False})
    assert Renderer(family_tokenizer("qwen_3"), used).notes() == []
    notes = Renderer(family_tokenizer("chatml"), used).notes()
    assert [note.partition(": ")[0] for note in notes] == ["template_args.enable_thinking changes nothing"]


def test_every_name_that_transformers_takes_for_itself_is_known() -> None:
    from transformers import PreTrainedTokenizerBase
    from transformers.utils.chat_template_utils import render_jinja_template

    calls = (PreTrainedTokenizerBase.apply_chat_template, render_jinja_template)
    taken = {name for call in calls for name in inspect.signature(call).parameters}
    seen_by_templates = {"tools", "documents"}
    assert taken - {"self", "kwargs"} - seen_by_templates <= set(NOT_OF_TEMPLATES)


@pytest.fixture
def without_eos(tmp_path: Path) -> Callable[..., Any]:
    def make(template: str | None, **configs: dict[str, Any]) -> Any:
        tokenizer = make_tokenizer("plain")
        tokenizer.eos_token = None
        tokenizer.chat_template = template
        tokenizer.name_or_path = str(tmp_path)
        for name, content in configs.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tokenizer

    return make


def test_an_end_is_taken_from_wherever_one_is_named_and_none_is_refused(
    without_eos: Callable[..., Any],
) -> None:
    with pytest.raises(
        InputError, match="nothing says where an answer ends: neither the chat template, nor eos"
    ):
        encode_traces(without_eos(None), [item()])
    assert Renderer(without_eos(None, config={"eos_token_id": [7, 5]})).ends == [7, 5]
    assert Renderer(without_eos(None, generation_config={"eos_token_id": 3})).ends == [3, 7, 5]
    template = "{% for m in messages %}{{ m.content + '<|endoftext|>' }}{% endfor %}"
    tokenizer = without_eos(template)
    assert Renderer(tokenizer).ends == [tokenizer.convert_tokens_to_ids("<|endoftext|>"), 3, 7, 5]
    with pytest.raises(InputError, match="eos_token_id: expected token ids, got 'x'"):
        Renderer(without_eos(None, config={"eos_token_id": "x"}))


def common(one: list[int], other: list[int]) -> int:
    """How many tokens two prompts begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_is_too_long_loses_history_and_the_beginning_of_the_question_only(family: str) -> None:
    tokenizer, prompt = family_tokenizer(family), asked([item("6 + 6?")], instruction="Be brief.")
    renderer = Renderer(tokenizer, prompt)
    line = item(prompt=None, messages=talk("2 + 2?", "It is 4", "yes " * 200 + "and what is 9?"))
    short = Renderer(tokenizer, asked(instruction="Be brief."))
    whole, bare = renderer.prompts([line])[0], short.prompts([item("9?")])[0]
    ids, shortened = renderer.fitted(line, whole, room := len(bare) + 20)
    assert shortened
    assert room - 4 <= len(ids) <= room
    text = tokenizer.decode(ids)
    assert "It is 4" not in text
    assert "6 + 6?" not in text
    assert text.split("9?")[1].strip().startswith("Be brief.")
    assert common(ids, whole) >= common(bare, whole), "its beginning is that of every prompt"
    assert renderer.fitted(line, whole, len(whole)) == (whole, False)
    with pytest.raises(
        InputError, match="item t: system text, instruction and chat template alone take more"
    ):
        renderer.fitted(line, whole, 3)


def test_max_new_tokens_fit_the_longest_reference() -> None:
    renderer = Renderer(family_tokenizer("plain"))
    items = [item(), item(final_answer=["85", "x" * 200])]
    assert fit_max_new_tokens(renderer, items[:1], None) == 64
    assert fit_max_new_tokens(renderer, items, None) in range(320, 385, 32)
    assert fit_max_new_tokens(renderer, items, 100) == 100 - len(renderer.prompts(items[:1])[0])
    assert fit_max_new_tokens(renderer, items, 16) == 4
    off = {"enable_thinking": False}
    for arguments, fit in (({}, 64 + THINKING), (off, 64)):
        prompt = asked(thinking_end="</think>", template_args=arguments)
        assert fit_max_new_tokens(Renderer(family_tokenizer("qwen_3"), prompt), items[:1], None) == fit
