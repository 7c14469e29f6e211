"""`hallmark doctor` shows a prompt as the model gets it, before anything is predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from golden.prompting import PromptConfig, ResolvedPrompt
from hallmark.cli.show.prompt import SHOWN_TOKENS, as_seen, show_prompt
from inference.preview import Preview, PreviewSpec, PreviewToken, preview
from tests.conftest import CommandLine
from tests.support.small_models import make_model
from tests.support.small_tokenizers import CHATML

pytestmark = pytest.mark.model


def test_the_command_shows_the_first_item_and_the_first_trace(hallmark: CommandLine) -> None:
    asked = ("doctor", "--model", "tiny-base", "--dataset", "golden-v1", "--train-dataset", "train-v1")
    done = hallmark(*asked, "--set", "prompt.instruction=Be brief.", "--json")
    assert done.returncode == 0, done.stderr
    found = Preview.model_validate_json(done.stdout)
    assert (found.template, found.context, found.prompts.count) == ("plain@v1", 256, 360)
    assert found.item.text == "Largest of 72, 59, 56?\n\nBe brief.\n"
    assert "".join(token.text for token in found.item.tokens) == found.item.text
    assert not any(token.bears_loss for token in found.item.tokens)
    assert found.trace is not None
    taught = "".join(token.text for token in found.trace.tokens if token.bears_loss)
    assert taught.endswith("<eos>")
    assert "Answer: " in taught
    assert [(end.id, end.text) for end in found.ends] == [(1, "<eos>")]
    assert (found.memory.weights, found.memory.device, found.memory.fitting) == (3_202_048, "cpu", 64)
    refused = hallmark(*asked, "--plan")
    assert refused.returncode == 2
    assert "one at a time" in refused.stderr


@pytest.fixture
def chat_model(tmp_path: Path) -> Path:
    model = make_model("gpt2", tmp_path / "model")
    (model / "chat_template.jinja").write_text(CHATML)
    return model


def test_what_is_shown_fits_a_terminal_and_names_what_changes_nothing(
    chat_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "few-v1.jsonl"
    rows = [
        {"trace_id": f"t{size}", "prompt": "Add 2.\t" * size, "final_answer": "7", "category": "c"}
        for size in (30, 1)
    ]
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"stop": ["\n\n"], "thinking_end": "</think>", "template_args": {"enable_thinking": False}}
    prompt = ResolvedPrompt(config=PromptConfig.model_validate(settings))
    found = preview(PreviewSpec(model=chat_model, dataset=dataset, prompt=prompt, max_new_tokens=40))
    assert (found.shortened, found.prompts.shortest, found.max_new_tokens) == (1, 57, 40)
    assert found.notes[0].startswith("template_args.enable_thinking changes nothing")
    show_prompt("support", "few-v1", found)
    shown = capsys.readouterr().out
    facts, rest = shown.split("first item")
    table = rest.split("\n\n")[-1]
    assert all(len(line) <= 80 for line in (facts + table).splitlines())
    assert f"... {len(found.item.tokens) - SHOWN_TOKENS} tokens more: --json" in table
    assert "1 prompt too long: shortened, and recorded" in facts
    assert "thinking  ends at </think>: only what follows it is judged" in facts


def test_spaces_and_line_feeds_of_a_token_are_seen() -> None:
    assert as_seen(PreviewToken(id=7, text=" two\n\t\x00é漢")) == "·two⏎→\\x00é漢"
