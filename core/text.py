"""Text that is not ours, such as a model's answer: made fit to be stored and to be shown."""

from __future__ import annotations

import re
import unicodedata

UNSEEN = ("Cc", "Cf", "Cs")
"""Unicode's categories of characters without a look of their own: controls, format characters, half
surrogates.
"""

JOINERS = "\u200c\u200d"
"""Format characters that Persian, Indian scripts and emoji are written with, and which only join or part
their neighbours.
"""

_PLAIN = re.compile(r"[\x20-\x7e\xa1-\xac\xae-\u05ff]*")
"""Characters that are seen, and are most of what is written: looked through at once."""


ACTING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters that JSON leaves as they are, those that turn a line around, those that nobody sees."""

COMMAND = re.compile(r"(?:^[^\S\n]*(?=::)|##\w*(?=\[))(?P<sign>[:\[])", re.MULTILINE)
"""What makes a line of a log a command, up to the character that does it."""


def visible(text: str) -> str:
    r"""A text in one line, with a name for each character that could hide something or turn the line around.

    Example:
        >>> visible("safe\u202egpj.exe")
        'safe⟨U+202E⟩gpj.exe'
    """
    return _named(" ".join(text.split()), "")


def visible_lines(text: str) -> str:
    r"""The same for a text of several lines, which stay lines; tabs stay too.

    Example:
        >>> visible_lines("one\ntwo\x1b[2J")
        'one\ntwo⟨U+001B⟩[2J'
    """
    return _named(text, "\n\t")


def without_commands(text: str) -> str:
    """A text of which no line is a command where it lands in a log: GitHub takes `::NAME::` at the beginning
    of a line and `##[NAME]` anywhere for one, as do others `##vso[` and `##teamcity[`. Their first colon and
    their bracket are named.

    Example:
        >>> without_commands("::add-mask::a")
        '⟨U+003A⟩:add-mask::a'
    """
    return COMMAND.sub(lambda found: f"{found[0][:-1]}⟨U+{ord(found['sign']):04X}⟩", text)


def quiet_json(document: str) -> str:
    r"""JSON, or a whole token of it, with the same meaning, but without characters that act on what shows it:
    controls, those that turn a line around, and those that make a line of a log a command.

    Example:
        >>> print(quiet_json('"##[group]"'))
        "##\u005bgroup]"
    """
    document = ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
    return COMMAND.sub(lambda found: f"{found[0][:-1]}\\u{ord(found['sign']):04x}", document)


def cut(text: str, characters: int) -> str:
    """A text, shortened where it is longer, with how many characters are left out.

    Example:
        >>> cut("Answer: 12", 20), cut("1234567890", 4)
        ('Answer: 12', '1234 … 6 more characters')
    """
    if len(text) <= characters:
        return text
    return f"{text[:characters]} … {counted(len(text) - characters, 'more character')}"


def counted(number: int, what: str, several: str | None = None) -> str:
    """A number of things.

    Args:
        number: how many.
        what: one of them.
        several: two of them; None where an "s" does it.

    Example:
        >>> counted(1, "run"), counted(2000, "run"), counted(0, "entry", "entries")
        ('1 run', '2,000 runs', '0 entries')
    """
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"


def whole_characters(text: str) -> str:
    r"""A text without half characters (unpaired surrogates), which no file and no database can hold: each
    becomes U+FFFD, as bytes do that are no character.

    Example:
        >>> whole_characters("a\ud800b")
        'a\ufffdb'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _named(text: str, kept: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        f"⟨U+{ord(character):04X}⟩" if _is_unseen(character) and character not in kept else character
        for character in text
    )


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in UNSEEN and character not in JOINERS
