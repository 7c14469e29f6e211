"""Damage to files, as a bad disk, a full one or a careless hand does it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], object]


def flip_a_bit(path: Path, chance: random.Random) -> None:
    """Change one bit; an empty file gets a byte."""
    data = bytearray(path.read_bytes() or b"\0")
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


DAMAGE: dict[str, Damage] = {
    "flipped": flip_a_bit,
    "deleted": lambda path, _: path.unlink(),
    "emptied": lambda path, _: path.write_bytes(b""),
    "truncated": lambda path, chance: path.write_bytes(
        (data := path.read_bytes())[: chance.randrange(len(data) + 1)]
    ),
    "garbage": lambda path, chance: path.write_bytes(chance.randbytes(1 + chance.randrange(500))),
}
"""What may happen to a file, by name."""


def damage_one_file(folder: Path, chance: random.Random, spared: tuple[str, ...] = ()) -> str | None:
    """Damage a random file below a folder in a random way; says which and how, None where there is no file.

    Args:
        folder: any folder.
        chance: decides.
        spared: beginnings of relative names that are left alone.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if not name.startswith(spared)]
    if not names:
        return None
    name, kind = chance.choice(names), chance.choice(sorted(DAMAGE))
    DAMAGE[kind](folder / name, chance)
    return f"{name} {kind}"
