"""Damage: bytes, words, lines, and parts of JSON values. Pure but for the chance that comes in."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeAlias

import yaml

#: Makes another input of one; may borrow from others.
Mutation: TypeAlias = Callable[[Random, bytes, Sequence[bytes]], bytes]

#: Longer inputs are cut: what is wrong in them is wrong in shorter ones, too.
MAX_BYTES = 16 * 1024
MOST_CHANGES = 4

#: What readers trip over.
NUMBERS = "0 -0 -1 00 010 1.5 1e400 0x10 0b1 1_0 65535 65536 4294967296 1:30 .inf .nan NaN Infinity ~ \u0661"
WORDS_OF_YAML = (
    "null true no << *a &a !!int !!binary !a | > % @ ` ? - {{.Values.x}} --- ... 2026-99-99 2026-01-01"
)
SIGNS = "{ } [ ] : , ; \\ \" ' # \0 \x7f \u00a0 \ufeff \u200b \ud7ff \U0001f642 \\ud800 \\u0000"
ADDRESSES = ":: ::ffff:1.2.3.4 1.2.3.4 fe80::1%eth0 0.0.0.0/0 ::/0 10.0.0.0/33 1.2.3.4/-1 10.0.0.9-10.0.0.1"
ODD = (
    *NUMBERS.split(" "),
    *WORDS_OF_YAML.split(" "),
    *SIGNS.split(" "),
    *ADDRESSES.split(" "),
    *("", " ", "\t", "\r", "\n", "\u2028", "9" * 30, "9" * 5000, "a" * 300),
)
BIG = 10**400
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 65536, 2**31, 2**63, BIG, -BIG, 1e300, float("inf"), float("nan")),
    *([], {}, [[]], [None], [{}], {"": None}, {"a": 1}, ["a", 1], [[["a"]]]),
    *("", "a", "80", "\u2028", "\0", "a" * 300),
)

_WORD = re.compile(rb'"[^"\n]*"|[\w.:/-]+|\s+|[^\w\s]')


def mutate(random: Random, text: bytes, pool: Sequence[bytes], mutations: Sequence[Mutation]) -> bytes:
    """Change an input in a few ways."""
    for _ in range(random.randint(1, MOST_CHANGES)):
        text = random.choice(mutations)(random, text, pool)[:MAX_BYTES]
    return text


def change_bytes(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """Put other bytes in, or in the place of some, or take some away."""
    at = random.randint(0, len(text))
    behind = at + random.choice((0, 0, 1, 2, 8, 64))
    new = random.choice((b"", random.randbytes(1), random.randbytes(3), random.choice(ODD).encode()))
    return text[:at] + new + text[behind:]


def cut(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """End too early, or begin too late."""
    at = random.randint(0, len(text))
    return text[:at] if random.random() < 0.7 else text[at:]


def splice(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """The beginning of one and the end of another."""
    other = random.choice(pool)
    return text[: random.randint(0, len(text))] + other[random.randint(0, len(other)) :]


def change_words(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """Exchange, double or take away a word; the new one is odd, or from another input."""
    found = _word_of(random, text)
    if found is None:
        return random.choice(ODD).encode()
    other = _word_of(random, random.choice(pool))
    old, odd, foreign = found[0], random.choice(ODD).encode(), other[0] if other else b""
    return text[: found.start()] + random.choice((b"", old * 2, odd, foreign)) + text[found.end() :]


def _word_of(random: Random, text: bytes) -> re.Match[bytes] | None:
    return _WORD.search(text, random.randint(0, len(text))) or _WORD.search(text)


def change_lines(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """Take lines away, repeat them, exchange them, shift them, or bring in others."""
    lines = text.split(b"\n")
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            del lines[first : first + random.randint(1, 3)]
        case 1:
            lines[second:second] = lines[first : first + random.randint(1, 6)]
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines[first] = random.choice((b" ", b"  ", b"\t", b"- ", b"# ")) + lines[first]
        case 4:
            lines[first] = lines[first].lstrip()
        case _:
            lines.insert(first, random.choice(random.choice(pool).split(b"\n")))
    return b"\n".join(lines)


def change_json(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """Exchange, take away, rename, repeat or bury a part of a JSON value."""
    value = _read_json(text)
    with suppress(RecursionError):  # buried too deep to be printed
        if value is not None:
            changed = _change_value(random, value, pool)
            return json.dumps(changed, indent=random.choice((None, None, 1))).encode()
    return change_words(random, text, pool)


def change_json_lines(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """The same in one of many lines."""
    lines = text.split(b"\n")
    at = random.randrange(len(lines))
    value = _read_json(lines[at])
    with suppress(RecursionError):
        if value is not None:
            lines[at] = json.dumps(_change_value(random, value, [*pool, *lines])).encode()
            return b"\n".join(lines)
    return change_lines(random, text, pool)


def change_yaml(random: Random, text: bytes, pool: Sequence[bytes]) -> bytes:
    """The same in YAML, of which the first document is kept."""
    with suppress(Exception):  # what PyYAML's constructors make of damage is anybody's guess
        value = next(yaml.load_all(text, yaml.CSafeLoader), None)
        changed = _change_value(random, value, pool)
        flow = random.choice((None, None, True))
        return yaml.dump(changed, Dumper=yaml.CSafeDumper, default_flow_style=flow).encode()
    return change_lines(random, text, pool)


def _read_json(text: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _change_value(random: Random, value: Any, pool: Sequence[bytes]) -> Any:
    if not isinstance(value, dict | list) or not value:
        return _any_value(random, pool)
    parent, step = random.choice(_places(value))
    match random.randrange(6):
        case 0 | 1:
            parent[step] = _any_value(random, pool)
        case 2:
            del parent[step]
        case 3 if isinstance(parent, dict):
            parent[random.choice((*parent, *map(str, ODD[:20])))] = parent.pop(step)
        case 3:
            parent.append(copy.deepcopy(parent[step]))
        case 4:
            for _ in range(random.choice((1, 1, 2, 200))):
                parent[step] = random.choice(([parent[step]], {"a": parent[step]}))
        case _:
            parent[step] = copy.deepcopy(_at_random(random, value))
    return value


def _any_value(random: Random, pool: Sequence[bytes]) -> Any:
    match random.randrange(3):
        case 0:
            return copy.deepcopy(random.choice(VALUES))
        case 1:
            return random.choice(ODD)
        case _:
            other = _read_json(random.choice(pool))
            return copy.deepcopy(_at_random(random, other)) if isinstance(other, dict | list) else other


def _at_random(random: Random, value: Any) -> Any:
    places = _places(value)
    if not places:
        return None
    parent, step = random.choice(places)
    return parent[step]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every part of a value, as what holds it and its key there."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        parent = waiting.pop()
        steps = list(parent) if isinstance(parent, dict) else range(len(parent))
        found.extend((parent, step) for step in steps)
        waiting.extend(parent[step] for step in steps if isinstance(parent[step], dict | list))
    return found


BYTES = (change_bytes, change_bytes, cut, splice)
WORDS = (*BYTES, change_words, change_words, change_words, change_lines, change_lines)
JSON = (*BYTES, change_words, *[change_json] * 8)
JSON_LINES = (*BYTES, change_words, change_lines, *[change_json_lines] * 6)
YAML = (*WORDS, change_yaml, change_yaml, change_yaml)
