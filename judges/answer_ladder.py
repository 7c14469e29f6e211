r"""Where in a text its answer is: the ladder. Frozen with the judges that import it.

The rungs, from the plainest statement to the least plain one:

- marker: behind the last `Answer:` that has something behind it: on its line, else on the next one. Also
  `Final answer:`, `**Answer**:`, `Answer (in cm):`, a full-width colon, the word in other languages, a
  heading `## Answer`, and what stands in `<answer>`.
- boxed: in the last closed `\boxed{}`.
- hashes: behind the last `####` of a line that is no heading, as GSM8K writes it.
- phrase: behind the last "the answer is".
- last_number: where a number is asked for, the last one that is no date, no time and no item's number.
- whole_text: the text.

What stands before the last marker is not looked at. A marker that opens a whole solution, so that what is on
its line is no bare answer, gives way to a plainer statement behind it. A text that goes on with another
`Question:` after its answer ends there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from judges.answer_numbers import Number, numbers, spoken, whole_number
from judges.answer_text import UNSEEN, bare, plain

Rung = Literal["marker", "boxed", "hashes", "phrase", "last_number", "bare", "whole_text"]

SHORT = 8
"""Words of a line that may be taken for a bare answer."""

LONGEST_LINE = 4_000
"""Characters in which the number of a line is looked for, from its end."""

COLON = r"[:\uff1a\ufe55]"
WORD = (
    r"(?<![^\W_])(?:answer|ans|antwort|lösung|réponse|reponse|respuesta|risposta|resposta|antwoord|svar"
    r"|odpowiedź|odpověď|cevap|jibu|ответ|відповідь|απάντηση)(?![^\W_])|答案|答え|答|回答|정답|답|الإجابة|الجواب|उत्तर"
    r"|উত্তর|సమాధానం|คำตอบ"
)
MARKER = re.compile(
    "(?:"
    + WORD
    + r")(?:\s{0,2}\([^()\n]{0,60}\))?[*_`\"]{0,3}\s{0,8}"
    + COLON
    + r"|^[ \t>#*_]{0,8}(?:the[ ])?(?:final[ ]|correct[ ])?answer[ \t*_#]{0,6}$"
    r"|<answer>",
    re.IGNORECASE | re.MULTILINE,
)
AT_MARKER = re.compile("(?:" + WORD + r")[*_`]{0,3}\s{0,8}" + COLON + r"[*_`]{0,3}\s*$", re.IGNORECASE)
HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*(?=\S)([^\n]*)")
PHRASE = re.compile(
    r"(?<![^\W_])answer(?:[ ]to[ ][^.:\n]{1,80}?)?"
    r"[ ](?:is|are|was|would[ ]be|will[ ]be|should[ ]be|must[ ]be|equals|=)"
    r"(?![^\W_])(?:[ ](?:therefore|thus|then|simply|indeed|also))?(?:\s{0,2}" + COLON + ")?"
    r"|(?<![^\W_])(?:la[ ]respuesta(?:[ ]final|[ ]correcta)?[ ]es|la[ ]réponse(?:[ ]finale)?[ ]est"
    r"|la[ ]risposta[ ]è|die[ ]antwort[ ](?:ist|lautet)|a[ ]resposta[ ]é|het[ ]antwoord[ ]is)(?![^\W_])"
    r"|答案是|答案为|答えは",
    re.IGNORECASE,
)
QUESTION = re.compile(
    r"^[ \t>#*]{0,6}(?:question|q|problem|user|human|instruction|example|frage|pregunta|问题|問題|質問)"
    r"(?:[ ]?[0-9]{1,4})?[*]{0,2}\s{0,2}" + COLON,
    re.IGNORECASE | re.MULTILINE,
)
STATED = re.compile(
    "(?:" + MARKER.pattern + ")|(?<!#)####(?!#)|(?:" + PHRASE.pattern + r")|\\boxed",
    re.IGNORECASE | re.MULTILINE,
)
BOX = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|[{}]")
FENCE = re.compile(r"[ \t]*(?:```|~~~)[\w+-]*[ \t]*")
NOTHING = re.compile(r"[\s*_#`>|.:$\\" + UNSEEN + "-]*")
ENUMERATED = re.compile(r"^[ \t>#*-]{0,8}(?:step[ ])?[0-9]{1,3}[.):](?=[ \t*]+\S)", re.IGNORECASE)
DIGIT = re.compile("[0-9]")
BOLD = re.compile(r"\*\*([^*\n]*[^*\n:])\*\*")
SENTENCE = re.compile(r"[.!?](?=\s|$)|[\u3002\uff01\uff1f]")
OTHERWISE = r"[0-9][^0-9]{0,40}?(?<![^\W_])(?:or|oder|ou)(?![^\W_])[^0-9]{0,20}"
ALTERNATIVES = re.compile(OTHERWISE + r"[0-9]|\bbetween\s[^0-9]{0,10}[0-9]|[0-9]\s(?:to|until)\s[$€£¥]?[0-9]")
LAST_OF_SEVERAL = re.compile(OTHERWISE + "$")
CORRECTED = re.compile(
    r"(?<![^\W_])(?:no|wait|actually|correction|sorry|oops|hmm|rather)(?![^\W_])", re.IGNORECASE
)
DENIED = re.compile(
    r"(?<![^\W_])(?:not|never|neither|nor|none|nothing|no)(?![^\W_])|n['\u2019]t\b", re.IGNORECASE
)
LATER = re.compile(
    r"(?:^|[.!?\n])[\s*_]{0,4}(?:but |no, |oh, )?"
    r"(?:wait|actually|correction|sorry|oops|hmm|on second thought)"
    r"(?![^\W_])(?=[^\n]{0,80}?(?<![^\W_])(?:correct|right|answer|value|result|wrong|mistake|error|should be"
    r"|must be|it is|it['\u2019]s)(?![^\W_]))",
    re.IGNORECASE,
)
"""Where a text takes back what it stated before."""

NOT_SO = re.compile(
    r"(?:(?<![^\W_])(?:not|never|false|wrong|incorrect|doubt\w{0,3})|n['\u2019]t)(?![^\W_])[^.!?\n]{0,40}"
    r"(?<![^\W_])(?:that|think|believe|say)\s+(?:the\s+)?(?:final\s+|correct\s+|right\s+)?$",
    re.IGNORECASE,
)
UNDECIDED = re.compile(
    r"(?<![^\W_])(?:can ?not|could not|impossible to|unable to|not possible to|(?:can|couldn)['\u2019]t)"
    r"\s(?:be\s)?(?:determine|know|tell|say|answer|calculate|find|found|solve)"
    r"|(?:not enough|insufficient) (?:information|data)|(?:do not|don['\u2019]t) know"
    r"|^\W*(?:the answer is )?unknown(?![^\W_])"
)
CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")
"""The marks of a calculator, as GSM8K writes them: <<48+24=72>>72."""

JSON_VALUE = re.compile(
    r'\s{0,8}(?:"((?:[^"\\\n]|\\.){0,2000})"|(-?[0-9][0-9.eE+-]{0,400}|true|false))\s{0,8}[,}\n]'
)
FENCED = re.compile(r"\s*(```|~~~)[\w+-]*[ \t]*\n(.*)\n[ \t]*\1\s*", re.DOTALL)
ASIDE = re.compile(
    r"(?<=[\w%°])(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bequals)(?<!\bbe)\s\((?=[^()]{0,200}[^\d\s()])[^()]{0,200}\)"
)
REASON = re.compile(r"\s(?:because|since|as (?:it|he|she|they|there))(?![^\W_]).*")
MAIN = re.compile(
    r"(?:[=:]|(?<![^\W_])(?:is|are|was|were|has|have|had|pays?|paid|costs?|earn(?:s|ed)?|makes?|made|needs?|gets?|got"
    r"|takes?|took|receives?d?|spends?|spent|saves?d?|eats?|ate|sells?|sold|uses?d?|buys?|bought|walks?|runs?"
    r"|weighs?|equals|total))\s?(?:about |only |a total of )?[$€£¥₹₩₽]?\s?$"
)
ASIDE_OF = re.compile(
    r"[^=<>,;:()0-9]{0,80}?\s(?:for|in|per|of|to|after|before|every|each|within|during|over)"
    r"\s(?:[^\W\d_]+ ){0,3}$"
)
"""What leads from the number that a sentence states to one that only says for how many."""

BARE_WORDS = {"yes", "no", "true", "false"}
GOES_ON = re.compile(r"\s*[-+*/x^=<>≤≥]\s*[$€£¥(]?\s*\.?[0-9]")
OF_IT = re.compile(r"\s+of\s+[$€£¥]?[0-9]")
LISTED = re.compile(r"\s*[,;&]\s*[$€£¥]?[-+]?[0-9]|(?:\s+[^\W\d_]+){0,2}\s+and\s+[$€£¥]?[-+]?[0-9]")
ABOUT = {
    "",
    "about",
    "approximately",
    "approx.",
    "roughly",
    "exactly",
    "~",
    "≈",
    "=",
    ":",
    "a total of",
    "only",
    "just",
}


@dataclass(frozen=True)
class Found:
    """A part of a text that states its answer.

    Attributes:
        rung: where it was found.
        text: the part.
        end: where it ends in the text.
    """

    rung: Rung
    text: str
    end: int = 0


@dataclass(frozen=True)
class Said:
    """The number that a part of a text states.

    Attributes:
        number: it; None where it states none, or several of which none is plainly meant.
        text: as it is written.
        how: why it is that one: leading, equals, emphasis, only, last; alternatives where several are stated,
            none where none is.
    """

    number: Number | None
    text: str
    how: str


def find(text: str, numeric: bool, lines: int = 1) -> Found | None:
    """The part of a text that states its answer, or None where it is empty.

    Args:
        text: what a model wrote.
        numeric: whether a number is asked for.
        lines: how many lines the right answer has.
    """
    text = until_another_question(text)
    if numeric:
        text = CALCULATOR.sub("", text)
    if lines == 1 and is_bare(text):
        return Found("bare", text.strip(), len(text))
    found = _find(text, numeric, lines)
    if found is None or found.rung in ("last_number", "whole_text"):
        return found
    later = [each.end() for each in LATER.finditer(text, found.end)]
    if later and (not numeric or DIGIT.search(text, later[-1])):
        return Found(found.rung, text[later[-1] :].strip(" ,.:"), len(text))
    return found


def is_bare(text: str) -> bool:
    """Whether a text is nothing but an answer: a number, a letter of a choice, yes, no, true or false."""
    if len(text) > 500:
        return False
    words = bare(flat(text))
    if words in BARE_WORDS or re.fullmatch(r"[(\[]?[a-z][)\].:]?", words):
        return True
    return whole_number(words) is not None


def without_numbering(text: str) -> str:
    """A text without the numbers of its items and steps, which are no answer."""
    return "\n".join(ENUMERATED.sub("", line) for line in text.splitlines())


def _find(text: str, numeric: bool, lines: int) -> Found | None:
    marker, empty = last_marker(text, lines)
    if marker is None:
        stated = statement(text)
        if stated is None and numeric:
            stated = last_number(text, 0)
        if stated is None and not empty and not NOTHING.fullmatch(text):
            fenced = FENCED.fullmatch(text)
            whole = fenced[2] if fenced else text.strip()
            stated = Found("whole_text", without_numbering(whole) if numeric else whole, len(text))
        return stated
    if numeric:
        said = said_number(marker.text)
        if said.how in ("leading", "emphasis", "alternatives") and len(marker.text.split()) <= SHORT:
            return marker
        behind = statement(text, marker.end)
        return behind or (marker if said.how != "none" else last_number(text, marker.end) or marker)
    is_bare = lines > 1 or len(marker.text.split()) <= SHORT
    return marker if is_bare else statement(text, marker.end) or marker


def until_another_question(text: str) -> str:
    """The text up to the first line that opens another question behind an answer."""
    place = 0
    while (stated := STATED.search(text, place)) and (question := QUESTION.search(text, stated.end())):
        if not NOTHING.fullmatch(text[stated.end() : question.start()]):
            return text[: question.start()]
        place = question.end()
    return text


def last_marker(text: str, lines: int) -> tuple[Found | None, bool]:
    """What stands behind the last marker that has something behind it, and whether one has nothing."""
    ahead, empty = len(text), False
    for match in reversed(list(MARKER.finditer(text))):
        part = text[match.end() : ahead]
        if match[0].lower() == "<answer>":
            part = part.partition("</")[0]
        elif '"' in match[0]:
            if (value := JSON_VALUE.match(part)) is not None:
                part = value[1] or value[2] or ""
        elif part.startswith(("*", "_", "`")):
            part = part.lstrip("*_`")
        else:
            line = text[max(0, match.start() - 80) : match.start()].rpartition("\n")[2]
            part = part.replace("**", "", 1) if line.count("**") % 2 else part
        if not NOTHING.fullmatch(part):
            taken = _lines(part, lines)
            return Found("marker", taken, match.end() + part.find(taken) + len(taken)), empty
        ahead, empty = match.start(), True
    return None, empty


def _lines(text: str, count: int) -> str:
    """The first lines of a text that have something on them; the fences of code have not."""
    taken: list[str] = []
    start = 0
    while len(taken) < count and start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        if line.strip() and not FENCE.fullmatch(line) and (taken or not NOTHING.fullmatch(line)):
            taken.append(line if taken else line.strip())
        start = end + 1
    return "\n".join(taken).rstrip()


def statement(text: str, place: int = 0) -> Found | None:
    """The last box, else the last hashes, else the last phrase behind a place."""
    for rung in (boxed, hashes, phrase):
        if (found := rung(text, place)) is not None:
            return found
    return None


def boxed(text: str, place: int = 0) -> Found | None:
    r"""The content of the last closed `\boxed{}`, whose braces may hold others."""
    if "boxed" not in text and "fbox" not in text:
        return None
    opened: list[tuple[bool, int]] = []
    found = None
    for match in BOX.finditer(text, place):
        if match[0] == "}":
            if opened:
                is_box, start = opened.pop()
                if is_box and text[start : match.start()].strip():
                    found = Found("boxed", text[start : match.start()].strip(), match.end())
        elif match[0] == "{":
            if text[match.start() - 1 : match.start()] != "\\":
                opened.append((False, match.end()))
        else:
            opened.append((True, match.end()))
    return found


def hashes(text: str, place: int = 0) -> Found | None:
    """What stands behind the last `####` that begins no heading: a short thing, with no colon in it."""
    found = None
    for match in HASHES.finditer(text, place):
        said = match[1].strip().strip("#").strip()
        if (
            said
            and len(said) <= 200
            and not re.match(r"(?:step|part|case|[0-9]+[.)]\s)|.*:\s*$", said, re.IGNORECASE)
        ):
            found = Found("hashes", said, match.end())
    return found


def phrase(text: str, place: int = 0) -> Found | None:
    """What follows the last "the answer is" on its line, or on the next one."""
    found, ahead = None, len(text)
    for match in reversed(list(PHRASE.finditer(text, place))):
        part = text[match.end() : ahead]
        if not NOTHING.fullmatch(part):
            taken = _lines(part.lstrip("*_` \t"), 1)
            if match[0] == "答えは":
                taken = re.sub(r"(?:です|である|だ)[。.]?$", "", taken)
            denied = NOT_SO.search(text[max(0, match.start() - 100) : match.start()])
            found = Found(
                "phrase", "not " + taken if denied else taken, match.end() + part.find(taken) + len(taken)
            )
            break
        ahead = match.start()
    return found


def last_number(text: str, place: int) -> Found | None:
    """The last line behind a place that has a number, items' numbers apart."""
    for line in reversed(text[place:].split("\n")):
        if line.isascii() and not DIGIT.search(line):
            continue
        line = ENUMERATED.sub("", line)[-LONGEST_LINE:]
        if any(each.value is not None for each in numbers(flat(line))):
            return Found("last_number", line.strip())
    return None


def flat(text: str) -> str:
    """Text in which numbers are read: plain, case folded, on one line."""
    return " ".join(plain(text).casefold().split())


def said_number(text: str, last: bool = False) -> Said:
    """The number that a part of a text states.

    Args:
        text: what was found on a rung.
        last: whether the last number is meant, whatever stands around it.
    """
    text = text[-LONGEST_LINE:]
    if not last:
        text, emphasised = _narrowed(text)
    line = flat(text)
    found = list(numbers(line))
    if UNDECIDED.search(line):
        return Said(None, line[-80:], "none")
    if not found:
        number = spoken(bare(line))
        return Said(number, bare(line), "leading" if number else "none")
    if last:
        line, number = main_number(line, found)
        several = LAST_OF_SEVERAL.search(line[max(0, number.start - 80) : number.start])
        return Said(None, line[-80:], "alternatives") if several else _said(line, number, "last")
    if ALTERNATIVES.search(line) and len({each.value for each in found}) > 1:
        return Said(None, line, "alternatives")
    first = found[0]
    if CORRECTED.search(line, first.end) and len(found) > 1:
        return _said(line, found[-1], "last")
    before = line[: first.start].strip(" (*_`\"'")
    is_part = "=" in line and OF_IT.match(line, first.end)  # 10% of 180 = 18
    if before in ABOUT and not is_part and not GOES_ON.match(line, first.end):
        if LISTED.match(line, first.end):
            return Said(None, line, "alternatives")
        return _said(line, first, "leading")
    sides = re.split(r"(?<![<>!=])=(?![>=])|≈|→|=>|->", line)
    if len(sides) > 1:
        behind = len(line) - len(sides[-1])
        right = [each for each in found if each.start >= behind]
        if len(sides) == 2 and len(right) > 1 and len(found) == len(right) + 1 and before in ABOUT:
            return _said(line, first, "leading")
        if len(right) == 1 or (right and not GOES_ON.match(line, right[0].end)):
            if LISTED.match(line, right[0].end):
                return Said(None, line, "alternatives")
            return _said(line, right[0], "equals")
    how = "emphasis" if emphasised else "only" if len(found) == 1 else "last"
    return _said(line, found[-1], how)


def main_number(line: str, found: list[Number]) -> tuple[str, Number]:
    """The last number of a line that is not said by the way: in brackets, in a reason, for how many."""
    for aside in (ASIDE, REASON):
        shorter = aside.sub("", line)
        less = list(numbers(shorter)) if shorter != line else []
        if any(each.value is not None for each in less):
            line, found = shorter, less
    found = [each for each in found if each.value is not None]
    last, before = found[-1], found[-2:-1]
    for number in before:
        between = line[number.end : last.start]
        if (
            not last.currency
            and ASIDE_OF.fullmatch(between)
            and (number.currency or MAIN.search(line[max(0, number.start - 30) : number.start]))
            and not re.search(r"\s(?:and|or|so|then|but|while|which|total|sum)\s|[.!?]\s", between)
        ):
            return line, number
    return line, last


def _said(line: str, number: Number, how: str) -> Said:
    return Said(number, line[number.start : number.end].strip(), how)


def _narrowed(text: str) -> tuple[str, bool]:
    """The plainest statement inside a part of a text, and whether it is what was emphasised."""
    if (inner := statement(text)) is not None:
        return inner.text, False
    spans = [span for span in BOLD.findall(text) if any(each.isdigit() for each in span)]
    return (spans[-1], True) if spans else (text, False)


def readings(text: str) -> Iterator[str]:
    """The ways in which a part of a text states an answer in words, the whole part first."""
    yield text
    if len(text) > 2000:
        return
    if (inner := statement(text)) is not None:
        yield inner.text
        text = inner.text
    sentence, *rest = SENTENCE.split(text, maxsplit=1)
    for part in (text,) if rest and CORRECTED.search(rest[0]) else dict.fromkeys((text, sentence)):
        yield part
        yield re.split(
            r"[,;.]?\s+(?:because|since|as it|as they)(?![^\W_])", part, maxsplit=1, flags=re.IGNORECASE
        )[0]
        if not DENIED.search(part):
            yield re.split(r"(?<![^\W_])(?:is|are|was|were)\s|\s=\s", part, flags=re.IGNORECASE)[-1]
    if not DENIED.search(text):
        yield from BOLD.findall(text)[-1:]
