"""Address ranges → blocks with excepts, as a policy would write them: few, and easy to read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from policyd_compiler.addr import BITS, Family, Ranges, intersect, print_address


@dataclass(frozen=True, slots=True)
class Block:
    """The addresses of `cidr` that are in none of `excepts`, as text."""

    cidr: str
    excepts: tuple[str, ...] = ()


#: A prefix by its network and length.
_Prefix: TypeAlias = tuple[int, int]
#: A prefix, and what of it is not meant.
_Written: TypeAlias = tuple[_Prefix, tuple[_Prefix, ...]]


class _Way(NamedTuple):
    """How a prefix can be written: how many prefixes that names, excepts of a block around it, and blocks."""

    cost: int
    excepts: tuple[_Prefix, ...]
    written: tuple[_Written, ...]

    def beside(self, other: _Way) -> _Way:
        """Both halves."""
        return _Way(self.cost + other.cost, (*self.excepts, *other.excepts), (*self.written, *other.written))


_NOTHING = _Way(0, (), ())


def blocks(ranges: Ranges, family: Family) -> tuple[Block, ...]:
    """Blocks that together hold exactly these addresses. As few prefixes as that takes are named."""
    alone, _ = _ways(ranges, (0, 0), BITS[family])
    return tuple(
        Block(_print(family, prefix), tuple(_print(family, each) for each in sorted(excepts)))
        for prefix, excepts in alone.written
    )


def _ways(ranges: Ranges, prefix: _Prefix, bits: int) -> tuple[_Way, _Way]:
    """The best way to write what of a prefix is wanted: where no block is around it, and where one is."""
    network, length = prefix
    all_of_it = network, network | (1 << bits - length) - 1
    wanted = intersect((all_of_it,), ranges)
    if not wanted:
        return _NOTHING, _Way(1, (prefix,), ())
    if wanted == (all_of_it,):
        return _Way(1, (), ((prefix, ()),)), _NOTHING
    low = _ways(wanted, (network, length + 1), bits)
    high = _ways(wanted, (network | 1 << bits - length - 1, length + 1), bits)
    alone, inside = (low[n].beside(high[n]) for n in (0, 1))
    around = _Way(inside.cost + 1, (), ((prefix, inside.excepts), *inside.written))
    left_out = _Way(alone.cost + 1, (prefix,), alone.written)
    return min(alone, around, key=_cost), min(inside, left_out, key=_cost)


def _cost(way: _Way) -> int:
    return way.cost


def _print(family: Family, prefix: _Prefix) -> str:
    return f"{print_address(family, prefix[0])}/{prefix[1]}"


def print_blocks(found: Sequence[Block]) -> str:
    """Blocks for people: `10.1.0.0/16 without 10.1.0.9/32`."""
    return ", ".join(
        f"{block.cidr} without {', '.join(block.excepts)}" if block.excepts else block.cidr for block in found
    )
