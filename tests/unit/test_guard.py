"""The contamination guard: every copy of a golden item is found, and nothing that only resembles one."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InputError
from experiments.config import TrainRunConfig, configured
from experiments.plan import plan_training
from experiments.workspace import open_workspace
from golden.datasets import load_dataset
from golden.guard import BOILERPLATE, NGRAM, SHARE, Overlap, find_overlaps
from golden.schema import Item
from golden.words import _ASCII, borders, folded, normalise, pieces, tokens, words
from tests.support.gsm8k import gsm8k
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

STORY = (
    "A train leaves Rome at nine in the morning and drives 84 miles per hour; another one leaves Milan, 300 "
    "miles away, half an hour later. When do they meet, if neither of them stops on the way?"
)
CHINESE = (
    "小明有十二个苹果，他给了小红三个，又从小刚那里得到了五个，"
    "后来吃掉了其中的两个，请问现在他一共还有多少个苹果？"
)
JAPANESE = (
    "太郎は毎朝七時に家を出て駅まで十五分歩き、"
    "そこから電車に三十分乗ります。学校に着くのは何時何分でしょうか。"
)
HINDI = "राम के पास बारह सेब हैं, उसने तीन सेब मोहन को दिए और फिर पाँच सेब खरीदे, अब उसके पास कितने सेब हैं?"


def item(prompt: str, trace_id: str = "g", steps: tuple[str, ...] = (), answer: str = "0") -> Item:
    return Item(trace_id=trace_id, prompt=prompt, steps=list(steps), final_answer=answer, category="c")


def kinds(train: Item, *golden: str) -> list[str]:
    asked = [item(prompt, f"g{number}") for number, prompt in enumerate(golden)]
    return [overlap.kind for overlap in find_overlaps([train], asked)]


PROMPTS = {
    "short": "Reverse kabo",
    "sum": "What is 9 + 2?",
    "story": STORY,
    "zh": CHINESE,
    "ja": JAPANESE,
    "hi": HINDI,
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (lambda prompt: item(prompt), "exact"),
        (lambda prompt: item("  " + prompt.upper().replace(" ", "  ") + "\n"), "normalised"),
        (lambda prompt: item(unicodedata.normalize("NFD", prompt) + " "), "normalised"),
        (lambda prompt: item(f"Question: {prompt}"), "contained"),
        (lambda prompt: item(f"{prompt} Answer in one word."), "contained"),
        (
            lambda prompt: item("Something else?", steps=("So:", f'They asked "{prompt.title()}".')),
            "contained",
        ),
        (lambda prompt: item("Something else?", answer=f"({prompt})"), "contained"),
        (lambda prompt: item("她问：「" + prompt + "」然后走了。"), "contained"),
    ],
    ids=[
        "exact",
        "case and spacing",
        "decomposed",
        "prefixed",
        "suffixed",
        "in a step",
        "as answer",
        "quoted",
    ],
)
def test_a_planted_copy_is_found(prompt: str, plant, kind: str) -> None:
    assert kinds(plant(prompt), "Something quite different?", prompt) == [kind]


def test_all_of_golden_v1_behind_a_word_is_found() -> None:
    golden = list(load_dataset("golden-v1").items())
    train = [item(f"Question: {each.prompt}", each.trace_id) for each in golden]
    found = list(find_overlaps(train, golden))
    assert [(overlap.train_id, overlap.kind) for overlap in found] == [
        (each.trace_id, "contained") for each in golden
    ]
    assert all(overlap.refuses and overlap.train_id == overlap.golden_id for overlap in found)


@pytest.mark.parametrize("prompt", [CHINESE, JAPANESE, STORY], ids=["zh", "ja", "en"])
def test_a_quoted_question_without_its_end_is_found(prompt: str) -> None:
    [overlap] = find_overlaps([item("Remember: " + prompt[: int(0.9 * len(prompt))], "t")], [item(prompt)])
    assert (overlap.kind, overlap.refuses) == ("ngram", True)
    assert overlap.share >= SHARE


def test_a_twin_is_shown_and_not_refused() -> None:
    twin = (
        STORY.replace("84", "95").replace("nine", "ten").replace("300", "480").replace("half", "a quarter of")
    )
    [overlap] = find_overlaps([item(twin, "t")], [item(STORY)])
    assert (overlap.kind, overlap.refuses) == ("twin", False)
    assert 0 < overlap.share < SHARE
    assert overlap.shared in " ".join(words(STORY))


def test_a_word_is_a_word_in_every_script() -> None:
    assert tokens("हिन्दी में") == ["हिन्दी", "में"]
    assert tokens("مَدْرَسَة كبيرة") == ["مَدْرَسَة", "كبيرة"]
    assert tokens("Việt Nam") == ["việt", "nam"]
    assert tokens("東京は") == ["東", "京", "は"]
    assert len(tokens("สวัสดีครับ")) == 7  # the marks above stay with their letters


def test_two_hindi_words_in_common_are_no_overlap() -> None:
    assert kinds(item("हिन्दी में कितने अक्षर होते हैं बताओ मुझे"), "हिन्दी में आज का मौसम कैसा रहेगा यह समझाओ") == []


def test_signs_matter_and_spacing_does_not() -> None:
    assert kinds(item("What is 9 - 2?"), "What is 9 + 2?") == []
    assert kinds(item("What is 9+2 ?"), "What is 9 + 2?") == ["normalised"]
    assert kinds(item("What is 9 \u2212 2?"), "What is 9 - 2?") == ["normalised"]
    assert kinds(item("What is 19 + 2?"), "What is 9 + 2?") == []


def test_strings_that_python_stores_as_the_same_bytes_differ() -> None:
    assert hash("ba") == hash("慢")
    assert kinds(item("ba 00 1"), "慢 00 1") == []
    assert kinds(item("ba 〰 1"), "ba 00 1") == []


@given(st.text(st.sampled_from("ab9.:!'(*+-/ \n\t\x1c_\u2019\u2013\u0301>&")))
def test_what_was_seen_before_gives_the_same_words(text: str) -> None:
    assert pieces(text) == _ASCII.findall(folded(text)) or not folded(text).isascii()


def shown(prompt: str, **how: str) -> str:
    """A prompt as others write it: its last mark replaced by `end`, commas by `comma`, spaces by `space`."""
    body, mark = (prompt[:-1], "?") if prompt.endswith("?") else (prompt, "")
    body = body.replace(",", how.get("comma", ",")).replace(" ", how.get("space", " "))
    return how.get("before", "") + body + how.get("end", mark) + how.get("after", "")


WRITTEN = {
    "no mark": {"end": ""},
    "full stop": {"end": "."},
    "equals": {"end": " ="},
    "equals, mark": {"end": " = ?"},
    "colon": {"end": ":"},
    "no commas": {"comma": ""},
    "no commas, no mark": {"comma": "", "end": ""},
    "quoted": {"before": "> "},
    "bold": {"before": "**", "after": "**"},
    "heading": {"before": "## "},
    "entities": {"space": "&nbsp;"},
    "zero width spaces": {"space": "\u200b"},
    "word joiners": {"space": "\u2060"},
    "underscores": {"space": "_"},
}


@pytest.mark.parametrize("how", WRITTEN.values(), ids=WRITTEN)
def test_all_of_golden_v1_is_found_however_it_is_written(how: dict[str, str]) -> None:
    golden = list(load_dataset("golden-v1").items())
    behind = {**how, "before": "Question:\n" + how.get("before", "")}
    for plant in (
        lambda each: item(shown(each.prompt, **how), each.trace_id),
        lambda each: item(shown(each.prompt, **behind), each.trace_id, ("So", "it is"), each.final_answer),
        lambda each: item("Something else?", each.trace_id, ("asked: " + shown(each.prompt, **how), "1")),
    ):
        found = list(find_overlaps([plant(each) for each in golden], golden))
        assert sum(overlap.refuses and overlap.train_id == overlap.golden_id for overlap in found) == 360


def test_what_nobody_sees_does_not_hide_a_copy() -> None:
    for prompt in ("Rev\u200berse kabo now", "Re\u2060verse ka\u034fbo now", "Reverse\u2063kabo\u200bnow"):
        assert kinds(item(f"Ask: {prompt}"), "Reverse kabo now") == ["contained"]
    assert kinds(item("What is ९ + २?"), "What is 9 + 2?") == ["normalised"]
    assert kinds(item("What is &#57; &plus; 2"), "What is 9 + 2?") == ["normalised"]
    assert tokens("क्\u200dष نمی\u200cخواهم") == ["क्ष", "نمیخواهم"]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What is 9 + 2?", "What is 9 - 2?"),
        ("What is (9 + 2) * 3?", "What is 9 + (2 * 3)?"),
        ("What is 2.5 + 3?", "What is 2 + 5.3?"),
        ("What is .5 + 3?", "What is 5 + 3?"),
        ("What is 3! + 2?", "What is 3 + 2?"),
        ("Is 3 != 2?", "Is 3 = 2?"),
        ("What is f'(2)?", "What is f(2)?"),
        ("Is 3 < 2?", "Is 3 > 2?"),
        ("What is 2**3?", "What is 2*3?"),
        ("20 %?", "20?"),
        ("2²?", "22?"),
        ("?", "!"),
    ],
)
def test_signs_that_carry_meaning_stay(left: str, right: str) -> None:
    assert normalise(left) != normalise(right)
    assert kinds(item(left), right) == []


def test_an_expression_that_goes_on_is_another_one() -> None:
    assert kinds(item("What is 9 + 2 + 5?"), "What is 9 + 2?") == []
    assert kinds(item("Find 7 * 9 + 2"), "9 + 2?") == []
    assert kinds(item("Largest of 72 59 56 12"), "Largest of 72, 59, 56?") == []
    assert kinds(item("Sort l i f y k"), "Sort l i f y") == []
    assert kinds(item("What is 9 + 2 = 11"), "What is 9 + 2?") == ["contained"]
    assert kinds(item("What is 9 + 2\n- 11"), "What is 9 + 2?") == ["contained"]
    assert kinds(item("Largest of 72, 59, 56? 72"), "Largest of 72, 59, 56?") == ["contained"]


def test_whole_inside_respects_word_borders() -> None:
    assert kinds(item("Reverse kabolu"), "Reverse kabo") == []
    assert kinds(item("Largest of 72, 59, 56, 12?"), "Largest of 72, 59, 56?") == []
    assert kinds(item("Why not, then?"), "Why not?") == []


def test_a_prompt_of_one_word_is_not_looked_for_inside_texts() -> None:
    assert kinds(item("Say yes or no."), "yes") == []
    assert kinds(item("Yes"), "yes") == ["normalised"]


def test_a_common_instruction_is_nobody_s_content() -> None:
    instruction = "Read the sum below with care and then give its value as one number: "
    golden = [instruction + f"{n} + {m}" for n in range(10) for m in range(10)]
    assert kinds(item(instruction + "12 + 3"), *golden) == []
    assert kinds(item(instruction + "3 + 12"), *golden) == []
    assert kinds(item(instruction.upper() + "3+4"), *golden) == ["normalised"]
    few = golden[: BOILERPLATE + 1]
    assert kinds(item(instruction + "0 + 17"), *few) in ([], ["twin"])


def test_copies_within_the_golden_set_make_no_boilerplate() -> None:
    changed = STORY.replace("the way", "their way")
    assert kinds(item(changed), *[STORY] * 5) == ["ngram"]


def test_the_strongest_overlap_of_an_item_is_told() -> None:
    both = item(f"{STORY} What is 9 + 2?", "t")
    [overlap] = find_overlaps([both], [item("What is 9 + 2?", "short"), item(STORY, "long")])
    assert (overlap.golden_id, overlap.kind) == ("long", "contained")
    [overlap] = find_overlaps(
        [item("what is 9 + 2?")], [item("What is 9 + 2?", "a"), item("what is 9 + 2?", "b")]
    )
    assert (overlap.golden_id, overlap.kind) == ("b", "exact")
    [overlap] = find_overlaps([item("9 + 2?")], [item("9 + 2?", "first"), item("9 + 2?", "second")])
    assert (overlap.golden_id, overlap.kind) == ("first", "exact")


def test_an_overlap_that_an_older_manifest_recorded_still_refuses() -> None:
    recorded = {"train_id": "t", "golden_id": "g", "kind": "ngram", "shared": "eight words"}
    assert Overlap(**recorded).refuses


def test_the_official_halves_of_gsm8k_pass_with_their_twins_shown() -> None:
    found = list(find_overlaps(gsm8k("train"), gsm8k("test")))
    assert [overlap for overlap in found if overlap.refuses] == []
    assert len({overlap.train_id for overlap in found}) == len(found) == 107
    assert max(overlap.share for overlap in found) == pytest.approx(2 / 3)  # a twin by template


def test_every_planted_gsm8k_item_is_found() -> None:
    golden = gsm8k("test")
    train = [item(f"Solve this. {each.prompt.lower()}", each.trace_id) for each in golden]
    assert {(o.train_id, o.golden_id) for o in find_overlaps(train, golden) if o.refuses} == {
        (each.trace_id, each.trace_id) for each in golden
    }


WORD = st.sampled_from(["a", "b", "c", "1", "+", "-", "?", "日", "में"])
TEXT = st.lists(WORD, min_size=1, max_size=14).map(" ".join)


def inside(prompt: str, text: str) -> bool:
    """Whether a prompt is whole in a text: with its punctuation where it has fewer than three words."""
    wanted = normalise(prompt).split()
    if len(words(prompt)) < 3:
        return len(tokens(prompt)) > 1 and f" {' '.join(tokens(prompt))} " in f" {' '.join(tokens(text))} "
    found = words(text)
    begins, ends = borders(pieces(text))
    return any(
        found[i : i + len(wanted)] == wanted and begins[i] and ends[i + len(wanted) - 1]
        for i in range(len(found) - len(wanted) + 1)
    )


def naive(train: Item, golden: list[Item]) -> tuple[str, float] | None:
    """The same contract, one prompt after the other, with Python's own strings."""

    def grams(text: str) -> set[tuple[str, ...]]:
        found = words(text)
        return {tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)}

    whole = "\n".join((train.prompt, *train.steps, train.final_answer))
    distinct = {normalise(each.prompt): grams(each.prompt) for each in golden}
    if train.prompt in {each.prompt for each in golden}:
        return "exact", 1.0
    if normalise(train.prompt) in distinct:
        return "normalised", 1.0
    if any(inside(each.prompt, whole) for each in golden):
        return "contained", 1.0
    found = []
    for every in distinct.values():
        own = {gram for gram in every if sum(gram in other for other in distinct.values()) <= BOILERPLATE}
        if shared := own & grams(whole):
            holds = len(shared) >= max(SHARE * len(own), min(NGRAM, SHARE * len(every)))
            found.append((holds, len(shared) / len(own)))
    if not found:
        return None
    holds, share = max(found)
    return ("ngram" if holds else "twin"), share


@given(golden=st.lists(TEXT, min_size=1, max_size=8), train=st.lists(TEXT, min_size=1, max_size=4))
@example(golden=["a", "a ?"], train=["a a ?"])
def test_the_fast_search_finds_what_a_naive_one_finds(golden: list[str], train: list[str]) -> None:
    asked = [item(prompt, f"g{number}") for number, prompt in enumerate(golden)]
    learned = [item(prompt, f"t{number}", steps=("a b",)) for number, prompt in enumerate(train)]
    found = {o.train_id: (o.kind, pytest.approx(o.share)) for o in find_overlaps(learned, asked)}
    expected = {each.trace_id: naive(each, asked) for each in learned}
    assert found == {trace_id: value for trace_id, value in expected.items() if value is not None}


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
    assert normalise(" " + text + "\n") == normalise(text)


@given(st.text(min_size=1).filter(lambda text: len(tokens(text)) > 1), st.text(), st.text())
def test_a_prompt_between_any_texts_is_found(prompt: str, before: str, after: str) -> None:
    found = kinds(item(f"{before}\n{prompt}\n{after}"), prompt)
    assert found in (["exact"], ["normalised"], ["contained"])


def write(folder: Path, name: str, *items: Item, indent: str = "") -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text(
        "".join(indent + json.dumps(each.model_dump(), ensure_ascii=False) + "\n" for each in items)
    )
    return path


def leaking(folder: Path) -> tuple[Path, Path, list[bytes]]:
    """A training set in which every other item leaks, its golden set, and the lines that do not."""
    golden = write(folder, "eval-v1", item(STORY, "story"), item(CHINESE, "zh"), item(HINDI, "hi"))
    clean = [item("Reverse kabo", "a"), item(STORY[:60], "twin"), item("何ですか", "c")]
    leaks = [item(f"Question: {STORY}", "x"), item("?", "y", steps=(CHINESE,)), item(HINDI + "\n", "z")]
    mixed = [each for pair in zip(clean, leaks, strict=True) for each in pair]
    train = write(folder, "mixed-v1", *mixed, indent=" ")
    return train, golden, train.read_bytes().splitlines(keepends=True)[::2]


def test_the_clean_copy_keeps_the_bytes_of_what_stays(hallmark, tmp_path: Path) -> None:
    train, golden, kept = leaking(tmp_path)
    assert hallmark("golden", "guard", str(train), str(golden)).returncode == 2
    result = hallmark("golden", "guard", str(train), str(golden), "--write-clean", "mixed-v2.jsonl")
    assert result.returncode == 0
    assert "3 of 6 items leak" in result.stdout
    assert "mixed-v2.jsonl has the other 3" in " ".join(result.stdout.split())
    assert (tmp_path / "mixed-v2.jsonl").read_bytes() == b"".join(kept)
    again = hallmark("golden", "guard", "mixed-v2.jsonl", str(golden), "--json")
    report = json.loads(again.stdout)
    assert (again.returncode, report["leaks"], len(report["twins"]), report["items"]) == (0, [], 1, 3)


def test_a_clean_copy_replaces_nothing_unless_it_is_forced(hallmark, tmp_path: Path) -> None:
    train, golden, kept = leaking(tmp_path)
    clean = ("golden", "guard", str(train), str(golden), "--write-clean")
    (tmp_path / "mixed-v2.jsonl").write_text("mine")
    assert_refused(hallmark(*clean, "mixed-v2.jsonl"), 2, "mixed-v2.jsonl: is there already", "--force")
    assert (tmp_path / "mixed-v2.jsonl").read_text() == "mine"
    assert hallmark(*clean, "mixed-v2.jsonl", "--force").returncode == 0
    assert (tmp_path / "mixed-v2.jsonl").read_bytes() == b"".join(kept)
    assert_refused(hallmark(*clean, "mixed.jsonl"), 2, "Allowed: a key of a-z")
    assert_refused(hallmark(*clean, "mixed-v3.txt"), 2, "expected the name of a dataset, KEY-vN.jsonl")
    (tmp_path / "mixed-v4.manifest.json").write_text("{}")
    assert_refused(hallmark(*clean, "mixed-v4.jsonl", "--force"), 2, "is frozen by mixed-v4.manifest.json")


def test_a_clean_copy_of_nothing_is_refused(hallmark, tmp_path: Path) -> None:
    golden = write(tmp_path, "eval-v1", item(STORY))
    write(tmp_path, "all-v1", item(STORY, "a"))
    result = hallmark("golden", "guard", "all-v1.jsonl", str(golden), "--write-clean", "none-v1.jsonl")
    assert_refused(result, 2, "all-v1.jsonl: every item holds a golden one")
    assert not (tmp_path / "none-v1.jsonl").exists()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_run_refuses_leaks_and_records_twins(allowed: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    train, golden, _ = leaking(tmp_path)
    wanted = {"dataset": str(train), "allow_contamination": allowed, "sequence_length": 256}
    settings = {"dataset": str(golden), "train": wanted, "generation": {"max_new_tokens": 1}}
    config = configured(TrainRunConfig, None, settings)
    if not allowed:
        with pytest.raises(
            InputError, match=r"3 training items hold items of eval-v1(.|\n)*x ~ story \(contained\)"
        ):
            plan_training(config, open_workspace())
        return
    recorded = plan_training(config, open_workspace()).manifest("r")["training"]["contamination"]
    assert (recorded["overlaps"], recorded["allowed"]) == (3, True)
    assert recorded["twins"]["count"] == 1
    assert [(pair["train_id"], pair["kind"]) for pair in recorded["twins"]["pairs"]] == [("twin", "twin")]
