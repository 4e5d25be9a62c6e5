"""`python -m bench.elements` (as root): processor time of an element that is written or read by hand.

In a network namespace of its own, with and without a foreign table of 50 000 ranges beside; the kernel's work
is done within the calls, so it is in the figures. For comparison the same element by libnftables.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.element_reader import ElementReader, compare
from policyd.netlink.elements import ElementWriter, split
from policyd_compiler.nft.ast import Chain, ChainName, Goto, Set, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, WholeTable, add, print_changes
from policyd_compiler.nft.keys import KeyType, SetName

COUNTS = (1, 200, 5_000)
HELD, FOREIGN = 20_000, 50_000
CHAIN = ChainName("c")
FIRST = 11 << 24
Part = Set | VerdictMap


@dataclass(frozen=True, slots=True)
class Timed:
    """Something that was done to so many elements at a time: microseconds for one, of each time."""

    what: str
    elements: int
    each: tuple[float, ...]


def main() -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"µs of processor time for one element; sets of {HELD} elements; least and median\n")
    print(f"{'':44} {'elements':>8} {'least':>9} {'median':>9}")
    for foreign in (0, FOREIGN):
        print(f"beside {foreign} foreign ranges")
        for timed in measure(foreign):
            least, middle = min(timed.each), statistics.median(timed.each)
            print(f"  {timed.what:42} {timed.elements:8} {least:9.2f} {middle:9.2f}", flush=True)


def measure(foreign: int) -> list[Timed]:
    """Everything once, next to a table of so many ranges."""
    namespace = Namespace("bench")
    try:
        return asyncio.run(_measure(namespace, foreign))
    finally:
        namespace.close()


async def _measure(namespace: Namespace, foreign: int) -> list[Timed]:
    nft = NftWorker(namespace.path)
    with namespace.entered():
        writer, reader = ElementWriter(), ElementReader()
    try:
        parts = tuple(_parts())
        declared = (add(_with(part, ())) for part in parts)
        await nft.run(print_changes("t", (add(WholeTable()), add(Chain(CHAIN)), *declared)))
        for batch in split(map(add, parts)):
            writer.write("t", batch)
        await nft.run(foreign_table(foreign))
        found: list[Timed] = []
        for part in parts:
            for count in COUNTS:
                found += _write(writer, part, count)
            found.append(_read(reader, part))
        return [*found, await _by_libnftables(nft, foreign)]
    finally:
        writer.close()
        reader.close()
        await nft.close()


def foreign_table(ranges: int) -> str:
    """Print a table of somebody else's, with a set of so many ranges."""
    pairs = tuple((number << 8, (number << 8) + 9) for number in range(ranges))
    others = Set(SetName("ranges"), KeyType.V4, pairs, interval=True)
    return print_changes("others", (add(WholeTable()), add(others)))


def _parts() -> Iterator[Part]:
    for kind, base in ((KeyType.V4, 10 << 24), (KeyType.V6, 0xFD << 120)):
        keys = range(base, base + HELD)
        word = kind.name.lower()
        yield Set(SetName(f"set-{word}"), kind, tuple(keys), size=1 << 16)
        pairs = tuple((key, Goto(CHAIN)) for key in keys)
        yield VerdictMap(SetName(f"map-{word}"), kind, pairs, size=1 << 16)


def _with(part: Part, keys: tuple[int, ...]) -> Part:
    """The part with these elements."""
    if isinstance(part, Set):
        return replace(part, elements=keys)
    return replace(part, elements=tuple((key, Goto(CHAIN)) for key in keys))


def _write(writer: ElementWriter, part: Part, count: int) -> list[Timed]:
    keys = tuple(range(FIRST, FIRST + count))
    changes = {
        "added to": [add(_with(part, keys))],
        "deleted from": [Change("delete", Elements(part.name, part.key, keys))],
    }
    times: dict[str, list[float]] = {word: [] for word in changes}
    for _ in range(max(7, 2_000 // count)):
        for word, change in changes.items():
            times[word].append(_time(partial(writer.write, "t", change)))
    return [_timed(f"{word} {part.name}", count, taken) for word, taken in times.items()]


def _read(reader: ElementReader, part: Part) -> Timed:
    def read() -> None:
        held = reader.read("t", part)
        assert held is not None
        assert not compare(held, part)

    return _timed(f"read of {part.name}, and compared", HELD, [_time(read) for _ in range(7)])


async def _by_libnftables(nft: NftWorker, foreign: int) -> Timed:
    """Wall time: the work is another process's."""
    times: list[float] = []
    for number in range(3 if foreign else 7):
        began = time.perf_counter()
        await nft.run(f"add element inet t set-v4 {{ 12.0.0.{number} }}\n")
        times.append(time.perf_counter() - began)
    return _timed("added to set-v4 by libnftables, wall time", 1, times)


def _time(do: Callable[[], object]) -> float:
    began = time.thread_time()
    do()
    return time.thread_time() - began


def _timed(what: str, count: int, times: list[float]) -> Timed:
    return Timed(what, count, tuple(taken / count * 1e6 for taken in times))


if __name__ == "__main__":
    main()
