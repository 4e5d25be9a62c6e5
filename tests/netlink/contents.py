"""Random contents for a set and a verdict map of every key type, keys from all that a type has."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from hypothesis import strategies as st

from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Continue,
    Drop,
    Goto,
    Jump,
    Return,
    Set,
    Table,
    TableFamily,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.commands import Change, Elements
from policyd_compiler.nft.keys import Key, KeyType, SetName, bits

Part = Set | VerdictMap
TARGETS = (ChainName("a"), ChainName("b" * 200))
VERDICTS: tuple[Verdict, ...] = (
    Accept(),
    Drop(),
    Return(),
    Continue(),
    *map(Goto, TARGETS),
    *map(Jump, TARGETS),
)
INTERVALS = (KeyType.V4, KeyType.V6, KeyType.IFNAME)
TYPES = (*((kind, False) for kind in KeyType), *((kind, True) for kind in INTERVALS))

#: Of a pattern's beginning; nft takes no longer one.
_LONGEST = 14
names = st.from_regex(r"[a-z][a-z0-9._-]{0,14}", fullmatch=True)


def parts_of(kind: KeyType, *, interval: bool) -> tuple[Set, VerdictMap]:
    """A set and a map of a type, without elements."""
    word = f"{kind.name.lower()}-{'ranges' if interval else 'values'}"
    return Set(SetName(f"s-{word}"), kind, interval=interval), VerdictMap(
        SetName(f"m-{word}"), kind, interval=interval
    )


PARTS: tuple[Part, ...] = tuple(
    part for kind, interval in TYPES for part in parts_of(kind, interval=interval)
)


def table_of(parts: tuple[Part, ...], family: TableFamily = "inet", name: str = "t") -> Table:
    """A table with these parts, as a listing has it."""
    sets = sorted((part for part in parts if isinstance(part, Set)), key=lambda part: part.name)
    maps = sorted((part for part in parts if isinstance(part, VerdictMap)), key=lambda part: part.name)
    chains = tuple(Chain(target) for target in TARGETS)
    return Table(name, tuple(sets), tuple(maps), chains, family=family)


def _numbers(size: int) -> st.SearchStrategy[int]:
    """Any, with some at the ends."""
    last = (1 << size) - 1
    return st.integers(0, last) | st.sampled_from([0, 1, last - 1, last])


def _values(kind: str) -> st.SearchStrategy[int | str]:
    return names if kind == "ifname" else _numbers(bits(kind))


@st.composite
def _patterns(draw: st.DrawFn) -> list[Key]:
    """Names and beginnings of names, of which none is in another."""
    found: dict[str, Key] = {}
    for name in draw(st.lists(names, max_size=6)):
        pattern = draw(st.booleans())
        begin = name[:_LONGEST] if pattern else name
        if not any(begin.startswith(other) or other.startswith(begin) for other in found):
            found[begin] = begin + "*" if pattern else begin
    return list(found.values())


@st.composite
def _ranges(draw: st.DrawFn, kind: KeyType) -> list[Key]:
    """Ranges that do not overlap; some are one address, some begin where another ends."""
    bounds = sorted(draw(st.sets(_numbers(bits(kind.value)), max_size=12)))
    return [
        (low, low if draw(st.booleans()) else high)
        for low, high in zip(bounds[::2], bounds[1::2], strict=False)
    ]


def keys_of(kind: KeyType, *, interval: bool) -> st.SearchStrategy[list[Key]]:
    """Different keys of a type."""
    if interval:
        return _patterns() if kind is KeyType.IFNAME else _ranges(kind)
    values = [_values(each) for each in kind.kinds]
    key = st.tuples(*values) if len(values) > 1 else values[0]
    return st.lists(cast("st.SearchStrategy[Key]", key), max_size=6, unique=True)


@st.composite
def filled(draw: st.DrawFn) -> tuple[Part, ...]:
    """Every part with elements, sorted."""
    found: list[Part] = []
    for part in PARTS:
        drawn = draw(keys_of(part.key, interval=part.interval))
        keys = cast("list[Key]", sorted(cast("list[int]", drawn)))
        if isinstance(part, Set):
            found.append(replace(part, elements=tuple(keys)))
        else:
            pairs = tuple((key, draw(st.sampled_from(VERDICTS))) for key in keys)
            found.append(replace(part, elements=pairs))
    return tuple(found)


def only(part: Part, wanted: list[bool]) -> Part:
    """The part with those of its elements for which a wish is true; there may be too few wishes."""
    kept = [wanted[number % len(wanted)] for number in range(len(part.elements))]
    if isinstance(part, Set):
        return replace(part, elements=tuple(e for e, keep in zip(part.elements, kept, strict=True) if keep))
    return replace(part, elements=tuple(e for e, keep in zip(part.elements, kept, strict=True) if keep))


def deletion(part: Part) -> Change:
    """The change that deletes all of a part's elements."""
    keys = part.elements if isinstance(part, Set) else tuple(key for key, _ in part.elements)
    return Change("delete", Elements(part.name, part.key, keys, part.interval))
