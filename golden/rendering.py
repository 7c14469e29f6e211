"""How an item becomes the text that a model reads and writes, the same in training and inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import InputError
from core.windows import windows
from golden.chat_template import PLAIN_TEMPLATE, ChatTemplate, named_ends
from golden.control_tokens import ControlTokens
from golden.prompting import DEFAULT_DATE, ResolvedPrompt
from golden.schema import Item, Trace

__all__ = ["PLAIN_TEMPLATE", "EncodedTrace", "Renderer", "conversation", "encode_prompt", "encode_traces"]

NO_SETTINGS = ResolvedPrompt()
THINKING = 2048
"""Tokens that `fit` leaves for thinking."""

RENDERED = 256
"""How many items of a large dataset are rendered together."""

MOST_NOTES = 5
"""Special tokens of which it is said that they are taught as text."""

_CONTENT, _CONTENT_END = "\U0010fff2", "\U0010fff3"
"""Stand around what an assistant says, to find it again in what a template makes of it."""

Turns = list[dict[str, str]]


@dataclass(frozen=True)
class EncodedTrace:
    """A training example as token ids.

    Attributes:
        ids: the prompt's, then the completion's; or those of a whole conversation.
        bears_loss: one for each id: whether the model is taught to write it. Such ids are called loss-bearing
            tokens.
    """

    ids: list[int]
    bears_loss: list[bool]


class FittedPrompt(NamedTuple):
    """A prompt that leaves room for its completion.

    Attributes:
        ids: token ids.
        shortened: whether something of it was left out for that.
    """

    ids: list[int]
    shortened: bool


class AssistantTurn(NamedTuple):
    """How a template writes an assistant's turn.

    Attributes:
        lead: what stands between the prompt and what is said: white space, marks of no thinking, the opening
            of a response. A model that is asked must write it, so it is taught.
        tail: white space between what is said and the end of the turn.
        end: the token that ends it; None where no single token does.
    """

    lead: str = ""
    tail: str = ""
    end: int | None = None


def conversation(line: Item | Trace, prompt: ResolvedPrompt = NO_SETTINGS) -> Turns:
    """The turns that a chat template gets: system text, solved examples, and the line's own turns.

    There is one system text, and it comes first: the line's own, else that of the settings. The instruction
    is part of each thing that the user says, in the history and the examples too: so training on every
    assistant turn of a conversation and asking at any of them show the model the same text.

    Args:
        line: a golden item or a training trace.
        prompt: how the model is asked.

    Example:
        >>> item = Item(trace_id="t", prompt="2 + 2?", steps=[], final_answer="4", category="sums")
        >>> conversation(item)
        [{'role': 'user', 'content': '2 + 2?'}]
    """
    turns = shown_examples(prompt) + own_turns(line, prompt)
    system = system_text(line, prompt)
    return turns if system is None else [{"role": "system", "content": system}, *turns]


def system_text(line: Item | Trace, prompt: ResolvedPrompt) -> str | None:
    """The system text of a line: its own, in either form, else that of the settings."""
    first = line.turns[0]
    return line.system or (first.content if first.role == "system" else prompt.config.system)


def own_turns(line: Item | Trace, prompt: ResolvedPrompt) -> Turns:
    """What is said in a line itself, without system text at its beginning."""
    turns = line.turns[1:] if line.turns[0].role == "system" else line.turns
    after = f"\n\n{prompt.config.instruction}" if prompt.config.instruction else ""
    return [
        {"role": turn.role, "content": turn.content + (after if turn.role == "user" else "")}
        for turn in turns
    ]


def shown_examples(prompt: ResolvedPrompt) -> Turns:
    """The solved examples, as a conversation that went on before; without system texts of their own."""
    turns: Turns = []
    for example in prompt.examples:
        turns += own_turns(example, prompt)
        turns.append({"role": "assistant", "content": render_completion(example.steps, example.reference)})
    return turns


def render_completion(steps: Sequence[str], final_answer: str) -> str:
    """The text that a model should write: each step on a line of its own, then `Answer:` and the answer.

    Example:
        >>> print(render_completion(["7+8+0=15", "4+3+1=8"], "85"))
        7+8+0=15
        4+3+1=8
        Answer: 85
    """
    return "\n".join([*steps, f"Answer: {final_answer}"])


def completion_of(line: Item | Trace) -> str:
    """What a model is taught to write after the prompt of a line."""
    if isinstance(line, Trace) and line.completion is not None:
        return line.completion
    answer = line.final_answer if isinstance(line.final_answer, str) else (line.final_answer or [""])[0]
    return render_completion(line.steps, answer)


class Renderer:
    """Turns items and traces into text and token ids, by one tokenizer and one way of asking.

    Text that merely looks like a control token, such as `</s>` in a question or an answer, is encoded as
    text. All other ids are those of `tokenizer.apply_chat_template(..., tokenize=True)`.

    Args:
        tokenizer: a Hugging Face tokenizer.
        prompt: how the model is asked.
        model_ends: ids of the tokens that the model names as ends; by default those in the directory that the
            tokenizer was loaded from.

    Attributes:
        template: the chat template.
        turn: how it writes an assistant's turn.

    Raises:
        InputError: the tokenizer has several chat templates and none is its default; or the template cannot
            be read.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt: ResolvedPrompt = NO_SETTINGS,
        model_ends: Sequence[int] | None = None,
    ) -> None:
        config = prompt.config
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.template = ChatTemplate(tokenizer, config.template_args, config.date)
        self.turn = self._assistant_turn()
        of_model = named_ends(Path(str(tokenizer.name_or_path))) if model_ends is None else model_ends
        named = (self.turn.end, tokenizer.eos_token_id, *of_model)
        self._ends = list(dict.fromkeys(id_ for id_ in named if id_ is not None))
        self._control = ControlTokens(tokenizer, self.template.source, self._ends, config.thinking_end)
        self._lead = [] if self.template.source is not None else _lead(tokenizer)
        self._spelled: Counter[str] = Counter()

    @property
    def ends(self) -> list[int]:
        """Ids of all tokens that end a completion: of the template, the tokenizer and the model, the one that
        training teaches first.

        Raises:
            InputError: there is none.
        """
        if not self._ends:
            raise InputError(
                f"{self.tokenizer.name_or_path}: nothing says where an answer ends: neither the chat "
                "template, nor eos_token in tokenizer_config.json, nor eos_token_id in "
                "generation_config.json or config.json. Add one of them."
            )
        return self._ends

    def text(self, line: Item | Trace) -> str:
        """The text before the completion: by the chat template, or without one in the plain way.

        Raises:
            InputError: the template cannot render it, or leaves out what is asked; names the line.
        """
        return self._control.shown(self._asked_text(line))

    def closes_thinking(self, line: Item | Trace) -> bool:
        """Whether a prompt itself ends with the mark that ends thinking, so that an answer need not."""
        mark = self.prompt.config.thinking_end
        return mark is not None and self.text(line).rstrip().endswith(mark)

    def notes(self) -> list[str]:
        """What a person should know about the settings of the prompt: which of them change nothing, and which
        may be missing for the traces that were encoded so far.
        """
        notes = [
            f"template_args.{name} changes nothing: {self.template.file} does not mention it"
            for name in self.template.unused()
        ]
        if self.prompt.config.date != DEFAULT_DATE and not self.template.prints_date:
            notes.append(f"date changes nothing: {self.template.file} does not ask for today's date")
        return notes + self.training_notes()

    def training_notes(self) -> list[str]:
        """Which special tokens the traces that were encoded so far spell in what is taught. All are taught as
        text; those of thinking as long as no setting says which they are.
        """
        remedy = "" if self.prompt.config.thinking_end else "; if it marks thinking, set prompt.thinking_end"
        return [
            f"the special token {token!r} is taught as text, in {count:,} "
            f"completion{'s' * (count != 1)}{remedy}"
            for token, count in self._spelled.most_common(MOST_NOTES)
        ]

    def prompts(self, lines: Sequence[Item | Trace]) -> list[list[int]]:
        """The token ids of rendered prompts. A template writes its own special tokens; plain text begins with
        those that the tokenizer adds.

        Raises:
            InputError: the template cannot render one, or leaves out what is asked; names the line.
        """
        return [self._lead + ids for ids in self._control.ids([self._asked_text(line) for line in lines])]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of what an assistant writes behind the prompt, without what ends it."""
        return self._control.ids([self.turn.lead + self._control.mark(text, "assistant") for text in texts])

    def continued(self, line: Item, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """The token ids of a prompt, and of texts that continue it.

        Prompt and continuation are encoded together and parted where the prompt alone would end; white space
        at the end of the prompt goes to the continuations, since tokens begin with it. So does
        lm-evaluation-harness.

        Args:
            line: the item.
            texts: what may follow its prompt.

        Raises:
            InputError: as `prompts`; or a text has no token of its own.
        """
        asked = self._asked_text(line) + self.turn.lead
        before = asked.rstrip()
        after = [asked[len(before) :] + self._control.mark(text, "assistant") for text in texts]
        prompt, *whole = self._control.ids([before, *(before + text for text in after)])
        ids = [each[len(prompt) :] for each in whole]
        if not all(ids):
            text = texts[[bool(each) for each in ids].index(False)]
            raise InputError(
                f"item {line.trace_id}: {text[:80]!r} has no token of its own behind the prompt."
            )
        return self._lead + prompt, ids

    def fitted(self, line: Item | Trace, ids: list[int], room: int) -> FittedPrompt:
        """A prompt of at most so many tokens. What is left out, until it fits: the oldest turns of the
        history, solved examples from the first on, and then the beginning of what the user says last. System
        text, instruction and all that the template writes stay whole.

        Args:
            line: the item.
            ids: its whole prompt.
            room: tokens that it may have.

        Raises:
            InputError: it does not fit even without what the user says.
        """
        if len(ids) <= room:
            return FittedPrompt(ids, shortened=False)
        system = [turn for turn in line.turns[:1] if turn.role == "system"]
        turns = line.turns[len(system) :]
        starts = [place for place, turn in enumerate(turns) if place and turn.role == "user"]
        prompts = [
            self.prompt.model_copy(update={"examples": self.prompt.examples[left:]})
            for left in range(1, len(self.prompt.examples) + 1)
        ]
        shorter = [(self.prompt, turns[start:]) for start in starts]
        shorter += [(each, turns[starts[-1] if starts else 0 :]) for each in prompts]
        for prompt, kept in shorter:
            if len(found := self._with(line, system, kept, prompt)) <= room:
                return FittedPrompt(found, shortened=True)
        prompt, kept = shorter[-1] if shorter else (self.prompt, turns)
        content = kept[0].content

        def tail(length: int) -> list[int]:
            cut = kept[0].model_copy(update={"content": content[len(content) - length :]})
            return self._with(line, system, [cut, *kept[1:]], prompt)

        fits, too_long = 0, len(content)
        while too_long - fits > 1:
            half = (fits + too_long) // 2
            fits, too_long = (half, too_long) if len(tail(half)) <= room else (fits, half)
        if not fits:
            raise InputError(
                f"item {line.trace_id}: system text, instruction and chat template alone take more than the "
                f"{room} tokens that the model's context leaves beside the completion. Shorten them, or "
                "lower generation.max_new_tokens."
            )
        return FittedPrompt(tail(fits), shortened=True)

    def _with(
        self, line: Item | Trace, system: Sequence[Any], turns: Sequence[Any], prompt: ResolvedPrompt
    ) -> list[int]:
        shortened = line.model_copy(update={"prompt": None, "messages": [*system, *turns]})
        text = self._asked_text(shortened, prompt)
        return self._lead + self._control.ids([text])[0]

    def traces(self, lines: Sequence[Item | Trace]) -> list[EncodedTrace]:
        """Training examples as token ids. Their prompts are what `prompts` gives, and what ends a completion
        is what ends an answer. Few calls of the tokenizer for all of them: much faster than some for each.

        A completion is taught verbatim, behind what the template writes before it. Where an example ends with
        an assistant's turn, each of its assistant turns is taught, as the template writes it; those of the
        solved examples are not.

        Raises:
            InputError: the template cannot render one, or writes earlier turns differently from how they were
                asked for; an example never ends its thinking; or nothing says where an answer ends.
        """
        _ = self.ends  # there must be one
        self._spelled.update(chain.from_iterable(map(self._spelled_in, lines)))
        pairs = [line for line in lines if line.turns[-1].role != "assistant"]
        asked = [self._asked_text(line) for line in pairs]
        taught = [self._written(line, before) for line, before in zip(pairs, asked, strict=True)]
        whole = [before + after for before, after in zip(asked, taught, strict=True)]
        ids = self._control.ids([*asked, *whole])
        done = map(self._pair, ids, ids[len(pairs) :], taught)
        return [self._dialogue(line) if line.turns[-1].role == "assistant" else next(done) for line in lines]

    def _spelled_in(self, line: Item | Trace) -> set[str]:
        if line.turns[-1].role != "assistant":
            return self._control.spelled(completion_of(line))
        return self._control.spelled(
            "\n".join(turn.content for turn in line.turns if turn.role == "assistant")
        )

    def _written(self, line: Item | Trace, asked: str) -> str:
        """What a model is taught to write after a prompt, without what ends it."""
        said = self._control.mark(completion_of(line), "assistant")
        lead = self.turn.lead
        if lead.strip():  # only before some completions, such as those that do not think
            turn = {"role": "assistant", "content": _surrounded(said)}
            whole = self._rendered([*self._marked(conversation(line, self.prompt)), turn], opens=False) or ""
            written = whole.removeprefix(asked + lead)
            lead = lead if written.lstrip().startswith(_surrounded(said).strip()) else ""
        self._check_thinking(line, asked, lead + said)
        return lead + said + self.turn.tail

    def _check_thinking(self, line: Item | Trace, asked: str, taught: str) -> None:
        mark = self.prompt.config.thinking_end
        if mark is not None and mark not in taught and not asked.rstrip().endswith(mark):
            raise InputError(
                f"item {line.trace_id}: its completion does not hold prompt.thinking_end {mark!r}, so "
                "the model would learn never to end its thinking, and none of its answers would count. "
                "Give it a completion with the mark; or switch thinking off, often by "
                "template_args.enable_thinking = false."
            )

    def _pair(self, asked: list[int], whole: list[int], taught: str) -> EncodedTrace:
        # Where a token would reach over the end of the prompt, it is cut there, since there the model begins.
        whole_tokens = whole[: len(asked)] == asked
        written = whole[len(asked) :] if whole_tokens else self._control.continued(taught)
        return EncodedTrace(
            [*self._lead, *asked, *written, self.ends[0]],
            [False] * (len(self._lead) + len(asked)) + [True] * (len(written) + 1),
        )

    def _dialogue(self, line: Item | Trace) -> EncodedTrace:
        """A conversation of which every assistant turn of the line's own is taught."""
        turns = self._marked(conversation(line, self.prompt))
        first = len(turns) - len(own_turns(line, self.prompt))
        text, spans = self._taught(line, turns, first)
        for start, stop in spans[-1:]:
            self._check_thinking(line, text[:start], text[start:stop])
        borders = sorted({0, *(place for span in spans for place in span)})
        text = text[: borders[-1]]
        starts = {start for start, _ in spans}
        *prefixes, whole = self._control.ids([text[:border] for border in borders[1:]])
        counts = [0, *map(len, prefixes), len(whole)]
        if all(whole[: len(prefix)] == prefix for prefix in prefixes):
            pieces = [whole[begin:stop] for begin, stop in pairwise(counts)]
        else:
            pieces = [
                self._control.continued(text[begin:stop]) if begin else self._control.ids([text[:stop]])[0]
                for begin, stop in pairwise(borders)
            ]
        encoded = EncodedTrace(list(self._lead), [False] * len(self._lead))
        piece: list[int] = []
        for border, piece in zip(borders, pieces, strict=False):
            encoded.ids.extend(piece)
            encoded.bears_loss.extend([border in starts] * len(piece))
        ends = set(self._ends) & set(self.tokenizer.added_tokens_decoder)  # those that are no part of a text
        if encoded.ids[-1] not in self._ends and ends.isdisjoint(piece):
            encoded.ids.append(self.ends[0])
            encoded.bears_loss.append(True)
        return encoded

    def _taught(self, line: Item | Trace, turns: Turns, first: int) -> tuple[str, list[tuple[int, int]]]:
        """A conversation as text, and begin and end of each part that is taught."""
        text = self._render(line, turns, opens=False)
        self._check_system(line, turns, text, opens=False)
        own = [place for place in range(first, len(turns)) if turns[place]["role"] == "assistant"]
        if self.template.marks_generation:
            spans = self.template.generated(turns).generated
            if any(turn["role"] == "assistant" for turn in turns[:first]):
                spans = self._own_spans(line, spans, turns, len(own))
            if len(spans) == len(own):
                spans = self._behind_prompts(text, spans, turns, own)
            return text, [(start, self._with_end(text, start, stop)) for start, stop in spans if stop > start]
        ends = self._content_ends(line, turns, text, own)
        spans = []
        for place, stop in zip(own, ends, strict=True):
            asked = self._render(line, turns[:place], opens=True)
            if not text.startswith(asked) or len(asked) > stop:
                raise self._unstable(line)
            spans.append((len(asked), self._with_end(text, len(asked), stop)))
        return text, spans

    def _behind_prompts(
        self, text: str, spans: Sequence[tuple[int, int]], turns: Turns, places: Sequence[int]
    ) -> list[tuple[int, int]]:
        """Parts that the template marks, without what the prompt of their turn already holds, as the opening
        of the turn may be.
        """
        cut = []
        for (start, stop), place in zip(spans, places, strict=True):
            asked = self._rendered(turns[:place], opens=True)
            opened = asked is not None and text.startswith(asked) and start < len(asked) < stop
            cut.append((len(asked) if asked is not None and opened else start, stop))
        return cut

    def _own_spans(
        self, line: Item | Trace, spans: list[tuple[int, int]], turns: Turns, own: int
    ) -> list[tuple[int, int]]:
        """Of the parts that the template marks those behind the solved examples."""
        if len(spans) != sum(turn["role"] == "assistant" for turn in turns):
            raise InputError(
                f"item {line.trace_id}: {self.template.file} marks {len(spans)} parts as generated, so those "
                "of the few-shot examples cannot be told from those that are taught. Leave prompt.few_shot "
                "out."
            )
        return spans[-own:]

    def _content_ends(self, line: Item | Trace, turns: Turns, text: str, places: Sequence[int]) -> list[int]:
        """Where in the rendered text what is said in some turns ends. It is found by marks in it, which must
        not change how it is rendered otherwise.
        """
        marked = [
            {**turn, "content": _surrounded(turn["content"])} if place in places else turn
            for place, turn in enumerate(turns)
        ]
        pieces = self._render(line, marked, opens=False).replace(_CONTENT, "").split(_CONTENT_END)
        if "".join(pieces) != text or len(pieces) != len(places) + 1:
            raise self._unstable(line)
        ends, place = [], 0
        for piece in pieces[:-1]:
            place += len(piece)
            ends.append(place)
        return ends

    def _with_end(self, text: str, start: int, stop: int) -> int:
        """The end of a taught part: behind the token that ends the turn, be it the last of the part, before
        white space at most, or what follows it.
        """
        tokens = [str(self.tokenizer.convert_ids_to_tokens(id_)) for id_ in self._ends]
        said = len(text[:stop].rstrip())
        if said > start and text.endswith(tuple(tokens), start, said):
            return said
        space = len(text[stop:]) - len(text[stop:].lstrip())
        found = [token for token in tokens if text.startswith(token, stop + space)]
        return stop + space + len(found[0]) if found else stop

    def _unstable(self, line: Item | Trace) -> InputError:
        return InputError(
            f"item {line.trace_id}: {self.template.file} writes assistant turns of the history differently "
            "from how the model is asked for them, so what it should learn to write cannot be told apart. "
            "Give one trace for each assistant turn, with the turns before it as messages and the turn as "
            "completion; or mark the turns in the template with {% generation %} ... {% endgeneration %}."
        )

    def _marked(self, turns: Turns) -> Turns:
        return [{**turn, "content": self._control.mark(turn["content"], turn["role"])} for turn in turns]

    def _asked_text(self, line: Item | Trace, prompt: ResolvedPrompt | None = None) -> str:
        """The prompt, with marks around text that looks like a control token."""
        turns = self._marked(conversation(line, prompt or self.prompt))
        text = self._render(line, turns, opens=True)
        self._check_system(line, turns, text, opens=True)
        if not _holds(text, turns[-1]["content"]):
            raise InputError(
                f"item {line.trace_id}: {self.template.file} leaves out what the {turns[-1]['role']} says "
                "last; it may be meant for messages of another form. Use a template that takes content as a "
                "string."
            )
        return text

    def _check_system(self, line: Item | Trace, turns: Turns, text: str, *, opens: bool) -> None:
        if turns[0]["role"] != "system" or not self._leaves_system_out(turns, text, opens):
            return
        remedy = "Put it into prompt.instruction instead."
        asked = turns[:-1]
        before = None if opens else self._rendered(asked, opens=True)
        if before is not None and not self._leaves_system_out(asked, before, opens=True):
            remedy = (
                "It takes it only where the user speaks last: give one trace for each assistant turn, with "
                "the turns before it as messages and the turn as completion; or put it into "
                "prompt.instruction instead."
            )
        raise InputError(f"item {line.trace_id}: {self.template.file} leaves the system text out. {remedy}")

    def _leaves_system_out(self, turns: Turns, text: str, opens: bool) -> bool:
        """Whether another system text would change nothing. One may be taken and not be found in the text, as
        a switch such as /no_think; and found there, though it is only part of the question.
        """
        other = {**turns[0], "content": turns[0]["content"] + _CONTENT}
        return self._rendered([other, *turns[1:]], opens=opens) == text

    def _render(self, line: Item | Trace, turns: Turns, *, opens: bool) -> str:
        try:
            return self.template.render(turns, opens=opens)
        except Exception as error:  # a template is a program, and anything may come of it
            raise InputError(
                f"item {line.trace_id}: {self.template.file} cannot render it: {_said(error)}. "
                f"{self._remedy(turns, opens)}"
            ) from error

    def _remedy(self, turns: Turns, opens: bool) -> str:
        without = [turn for turn in turns if turn["role"] != "system"]
        if len(without) < len(turns) and self._rendered(without, opens):
            return "It takes no system text: put that into prompt.instruction."
        if self._rendered([{"role": "user", "content": "Hello"}], opens):
            return "Its messages have an order or a role that the template does not take."
        return "Not even one message can be rendered: it is at fault, or lacks prompt.template_args."

    def _rendered(self, turns: Sequence[Mapping[str, str]], opens: bool) -> str | None:
        """None where the template cannot render it."""
        try:
            return self.template.render(turns, opens=opens)
        except Exception:
            return None

    def _assistant_turn(self) -> AssistantTurn:
        """Look how the template writes an assistant's turn. One that cannot is met again with each item."""
        if self.template.source is None:
            return AssistantTurn()
        turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": _surrounded("Hello")}]
        try:
            asked = self.template.render(turns[:1], opens=True)
            before, said, after = self.template.render(turns, opens=False).partition(_surrounded("Hello"))
        except Exception:
            return AssistantTurn()
        if not said or not before.startswith(asked):
            asked = before
        lead = before[len(asked) :]
        tail = after[: len(after) - len(after.lstrip())]
        tokens = {str(token): id_ for id_, token in self.tokenizer.added_tokens_decoder.items()}
        found = [token for token in tokens if not token.isspace() and after.startswith(token, len(tail))]
        if not found:
            return AssistantTurn(lead)
        return AssistantTurn(lead, tail, tokens[max(found, key=len)])


def encode_prompt(tokenizer: Any, line: Item | Trace, prompt: ResolvedPrompt = NO_SETTINGS) -> list[int]:
    """The token ids of a rendered prompt; see `Renderer.prompts`, which is faster for many."""
    return Renderer(tokenizer, prompt).prompts([line])[0]


def encode_traces(
    tokenizer: Any,
    traces: Sequence[Item | Trace],
    prompt: ResolvedPrompt = NO_SETTINGS,
) -> list[EncodedTrace]:
    """Training examples as token ids; see `Renderer.traces`.

    Args:
        tokenizer: a Hugging Face tokenizer.
        traces: the examples.
        prompt: how the model is asked.

    Raises:
        InputError: see `Renderer.traces`.
    """
    return Renderer(tokenizer, prompt).traces(traces)


def fit_max_new_tokens(renderer: Renderer, items: Iterable[Item], context: int | None) -> int:
    """How long completions may get, so that every reference fits: the longest, half as long again, and 32
    tokens, rounded up to a multiple of 32; at least 64, and at most what the longest prompt leaves of the
    context, of which a prompt may take three quarters. No reference thinks, so that a model that does gets
    `THINKING` tokens more.

    Args:
        renderer: for the model's tokenizer.
        items: the golden items.
        context: how many tokens the model can see; None for any number.

    Raises:
        InputError: an item cannot be rendered.
    """
    longest, prompt, thinks = 0, 0, False
    for some in windows(items, RENDERED):
        references = [render_completion(item.steps, each) for item in some for each in item.accepted]
        longest = max(longest, *map(len, renderer.encode(references)))
        thinks = thinks or not all(map(renderer.closes_thinking, some))
        if context is not None:
            prompt = max(prompt, *map(len, renderer.prompts(some)))
    fit = max(64, -(-(longest * 3 // 2 + 32) // 32) * 32)
    if renderer.prompt.config.thinking_end and thinks:
        fit += THINKING
    return fit if context is None else max(1, min(fit, max(context - prompt, context // 4)))


def _lead(tokenizer: Any) -> list[int]:
    """The special tokens that a tokenizer puts before plain text. One behind it would end the prompt."""
    text: list[int] = tokenizer.encode("a", add_special_tokens=False)
    whole: list[int] = tokenizer.encode("a", add_special_tokens=True)
    places = range(len(whole) - len(text) + 1)
    return next((whole[:place] for place in places if whole[place : place + len(text)] == text), [])


def _surrounded(content: str) -> str:
    """Marks around what is said, inside of white space at its ends, which templates cut off."""
    core = content.strip()
    before, _, after = content.partition(core)
    return f"{before}{_CONTENT}{core}{_CONTENT_END}{after}"


def _holds(text: str, said: str) -> bool:
    return said.strip() in text or "".join(said.split()) in "".join(text.split())


def _said(error: Exception) -> str:
    """The first line of an error's message, without a full stop."""
    message = str(error).strip() or type(error).__name__
    return message.splitlines()[0].removesuffix(".")
