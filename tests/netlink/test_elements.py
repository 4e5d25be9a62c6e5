"""Elements written and read by hand are those that nft sees, for every key type: with a real kernel."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.applier.listing import list_table
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.element_reader import Difference, ElementReader, compare, repair
from policyd.netlink.elements import MOST, ElementsBroken, ElementsRefused, ElementWriter, split
from policyd_compiler.nft.ast import Accept, Chain, ChainName, Drop, Goto, Set, TableFamily, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, WholeTable, add, delete, flush, print_changes
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.nft.keys import Key, KeyType, SetName
from policyd_compiler.nft.printer import print_replace
from tests.netlink.contents import PARTS, Part, deletion, filled, only, table_of

pytestmark = pytest.mark.kernel

FAMILIES: st.SearchStrategy[TableFamily] = st.sampled_from(["inet", "bridge"])
masks = st.lists(st.booleans(), min_size=7, max_size=7)
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
CHAIN = ChainName("c")
PODS = Set(SetName("pods"), KeyType.V4, (1, 2), size=4)
WAYS = VerdictMap(SetName("ways"), KeyType.V4, ((1, Drop()), (2, Goto(CHAIN))))
RANGES = Set(SetName("ranges"), KeyType.V4, ((10, 19),), interval=True)


def write(writer: ElementWriter, changes: list[Change], family: TableFamily) -> None:
    writer.write("t", changes if family == "inet" else (), changes if family == "bridge" else ())


async def is_held(
    nft: NftWorker, reader: ElementReader, parts: tuple[Part, ...], family: TableFamily
) -> None:
    """Whether nft lists exactly these parts, and the raw reader reads them."""
    assert await list_table(nft, "t", family) == table_of(parts, family)
    assert tuple(reader.read("t", part, family) for part in PARTS) == parts


@with_fixtures
@given(parts=filled(), mask=masks, family=FAMILIES)
async def test_what_is_written_is_what_nft_and_the_reader_read(
    nft: NftWorker,
    writer: ElementWriter,
    reader: ElementReader,
    parts: tuple[Part, ...],
    mask: list[bool],
    family: TableFamily,
) -> None:
    """And what is deleted is exactly what is gone."""
    await nft.run(print_replace(table_of(PARTS, family)))
    write(writer, [add(part) for part in parts], family)
    await is_held(nft, reader, parts, family)
    write(writer, [deletion(only(part, mask)) for part in parts], family)
    await is_held(nft, reader, tuple(only(part, [not keep for keep in mask]) for part in parts), family)


@with_fixtures
@given(parts=filled(), mask=masks, family=FAMILIES)
async def test_what_nft_wrote_is_read_and_deleted(
    nft: NftWorker,
    writer: ElementWriter,
    reader: ElementReader,
    parts: tuple[Part, ...],
    mask: list[bool],
    family: TableFamily,
) -> None:
    await nft.run(print_replace(table_of(parts, family)))
    await is_held(nft, reader, parts, family)
    write(writer, [deletion(only(part, mask)) for part in parts], family)
    await is_held(nft, reader, tuple(only(part, [not keep for keep in mask]) for part in parts), family)


@with_fixtures
@given(held=filled(), wanted=filled())
async def test_a_repair_leaves_what_is_wanted(
    nft: NftWorker,
    writer: ElementWriter,
    reader: ElementReader,
    held: tuple[Part, ...],
    wanted: tuple[Part, ...],
) -> None:
    """In one transaction, with deletions first."""
    await nft.run(print_replace(table_of(held)))
    for have, want in zip(held, wanted, strict=True):
        writer.write("t", repair(compare(have, want), want))
        assert reader.read("t", want) == want


async def test_a_difference_names_keys(nft: NftWorker, reader: ElementReader) -> None:
    await nft.run(print_changes("t", FOUNDATION))
    held = reader.read("t", WAYS)
    assert held is not None
    assert not compare(held, WAYS)
    wanted = replace(WAYS, elements=((2, Drop()), (3, Accept())))
    assert compare(held, wanted) == Difference((1,), (3,), (2,))


FOUNDATION = (
    add(WholeTable()),
    add(Chain(CHAIN)),
    add(PODS),
    add(WAYS),
    add(RANGES),
)


def adds(part: Set | VerdictMap, *elements: object) -> Change:
    return add(replace(part, elements=elements))  # type: ignore[arg-type]


def deletes(part: Set | VerdictMap, *keys: Key) -> Change:
    return Change("delete", Elements(part.name, part.key, keys, part.interval))


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that the kernel refuses, with which error, and the key that it names."""

    change: Change
    number: int
    key: Key | None
    table: str = "t"


REFUSALS = {
    "a key with other data": Refused(adds(WAYS, (1, Accept())), errno.EEXIST, 1),
    "the second of three": Refused(adds(WAYS, (5, Drop()), (2, Drop()), (1, Accept())), errno.EEXIST, 2),
    "a chain that is not there": Refused(adds(WAYS, (5, Goto(ChainName("no")))), errno.ENOENT, 5),
    "one more than a full set holds": Refused(adds(PODS, 3, 4, 5), errno.ENFILE, 5),
    "an element that is not there": Refused(deletes(PODS, 1, 9), errno.ENOENT, 9),
    "a range that is not there": Refused(deletes(RANGES, (30, 39)), errno.ENOENT, (30, 39)),
    "a range over another": Refused(adds(RANGES, (5, 12)), errno.EEXIST, (5, 12)),
    "a set that is not there": Refused(adds(replace(PODS, name=SetName("no")), 1), errno.ENOENT, None),
    "a table that is not there": Refused(adds(PODS, 3), errno.ENOENT, None, "no"),
    "a key of another type": Refused(adds(replace(PODS, key=KeyType.V6), 3), errno.EINVAL, 3),
    "data in a set": Refused(adds(replace(WAYS, name=PODS.name), (3, Drop())), errno.EINVAL, 3),
    "no data in a map": Refused(adds(replace(PODS, name=WAYS.name), 3), errno.EINVAL, 3),
}


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=list(REFUSALS))
async def test_a_refusal_names_its_change_and_nothing_is_written(
    nft: NftWorker, writer: ElementWriter, refused: Refused
) -> None:
    """Neither what came before it in the transaction, nor what came behind."""
    await nft.run(print_changes("t", FOUNDATION))
    before = await list_table(nft, "t")
    good = [adds(WAYS, (7, Drop())), deletes(PODS, 1), deletes(WAYS, 2)]
    with pytest.raises(ElementsRefused) as caught:
        writer.write(refused.table, [good[0], refused.change, *good[1:]])
    found = caught.value
    if refused.table == "t":
        assert (found.errno, found.change, found.key) == (refused.number, refused.change, refused.key)
    else:
        assert (found.errno, found.change, found.key) == (refused.number, good[0], None)
    assert await list_table(nft, "t") == before
    writer.write("t", good)  # the next transaction is not answered with this one's refusals
    assert await list_table(nft, "t") != before


async def test_both_families_are_one_transaction(nft: NftWorker, writer: ElementWriter) -> None:
    for family in ("inet", "bridge"):
        await nft.run(print_changes("t", FOUNDATION, family))
    before = [await list_table(nft, "t", family) for family in ("inet", "bridge")]
    with pytest.raises(ElementsRefused) as caught:
        writer.write("t", [adds(PODS, 3)], [deletes(PODS, 3)])
    assert caught.value.key == 3
    assert [await list_table(nft, "t", family) for family in ("inet", "bridge")] == before
    generation = writer.generation()
    writer.write("t", [adds(PODS, 3)], [adds(PODS, 3)])
    assert writer.generation() == generation + 1


async def test_what_is_there_is_taken_and_a_key_changes_its_data_in_one_transaction(
    nft: NftWorker, writer: ElementWriter, reader: ElementReader
) -> None:
    """Also in a full map: a deletion makes room."""
    await nft.run(print_changes("t", FOUNDATION))
    writer.write("t", [add(WAYS)])
    writer.write("t", [deletes(WAYS, 2), adds(WAYS, (2, Drop()))])
    assert reader.read("t", WAYS) == replace(WAYS, elements=((1, Drop()), (2, Drop())))
    writer.write("t", [adds(PODS, 3, 4), deletes(PODS, 1), adds(PODS, 5)])
    assert reader.read("t", PODS) == replace(PODS, elements=(2, 3, 4, 5))


async def test_a_transaction_over_somebody_elses_is_refused(
    nft: NftWorker, writer: ElementWriter, reader: ElementReader
) -> None:
    """Where the count of transactions is given; without it, it is not asked."""
    await nft.run(print_changes("t", FOUNDATION))
    generation = writer.generation()
    await nft.run("add table inet others\n")
    with pytest.raises(ElementsRefused) as caught:
        writer.write("t", [adds(PODS, 3)], generation=generation)
    assert caught.value.errno == errno.ERESTART
    assert reader.read("t", PODS) == PODS
    writer.write("t", [adds(PODS, 3)], generation=writer.generation())
    writer.write("t", [adds(PODS, 4)])
    assert reader.read("t", PODS) == replace(PODS, elements=(1, 2, 3, 4))


async def test_many_elements_are_split(nft: NftWorker, writer: ElementWriter, reader: ElementReader) -> None:
    """Over messages, whose lists are at most 64 KiB, and where that is asked for over transactions."""
    long = ChainName("x" * 200)
    many = VerdictMap(SetName("many"), KeyType.V6, tuple((n << 64, Goto(long)) for n in range(2 * MOST + 7)))
    await nft.run(print_changes("t", (add(WholeTable()), add(Chain(long)), add(replace(many, elements=())))))
    generation = writer.generation()
    writer.write("t", [add(many)])
    writer.write("t", [deletion(many)])
    assert writer.generation() == generation + 2
    for changes in ([add(many)], [deletion(many)]):
        generation = writer.generation()
        for batch in split(changes):
            writer.write("t", batch)
        assert writer.generation() == generation + 3
        held = reader.read("t", many)
        assert held == (many if changes[0].verb == "add" else replace(many, elements=()))


async def test_nothing_to_write_is_no_transaction(nft: NftWorker, writer: ElementWriter) -> None:
    await nft.run(print_changes("t", FOUNDATION))
    generation = writer.generation()
    writer.write("t", [adds(PODS), deletes(PODS)])
    assert writer.generation() == generation


def test_other_changes_are_refused(writer: ElementWriter) -> None:
    for change in (add(WholeTable()), delete("set", "pods"), flush("map", "ways"), add(Chain(CHAIN))):
        with pytest.raises(ValueError, match="no change of elements"):
            writer.write("t", [change])


async def test_a_foreign_table_of_many_ranges_costs_nothing(
    nft: NftWorker, writer: ElementWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a message more nor a byte: it is what makes libnftables take seconds."""
    await nft.run(print_changes("t", FOUNDATION))
    traffic = Counted(writer)
    monkeypatch.setattr(writer, "_socket", traffic)
    changes = [adds(PODS, 3), deletes(PODS, 3), adds(WAYS, (9, Drop())), deletes(WAYS, 9)]

    def cost() -> list[int]:
        traffic.sizes.clear()
        writer.write("t", changes)
        return list(traffic.sizes)

    alone = cost()
    others = replace(RANGES, elements=tuple((n << 8, (n << 8) + 9) for n in range(50_000)))
    await nft.run(print_changes("others", (add(WholeTable()), add(others))))
    assert cost() == alone
    assert len(alone) == 2


class Counted:
    """A socket that notes how many bytes each call moved."""

    def __init__(self, writer: ElementWriter) -> None:
        self._socket = writer._socket
        self.sizes: list[int] = []

    def send(self, data: bytes) -> int:
        self.sizes.append(len(data))
        return self._socket.send(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = self._socket.recv(size, flags)
        self.sizes.append(len(data))
        return data

    def close(self) -> None:
        self._socket.close()


async def test_what_is_not_there_is_no_part(nft: NftWorker, reader: ElementReader) -> None:
    assert reader.read("t", PODS) is None
    await nft.run(print_changes("t", FOUNDATION))
    assert reader.read("t", replace(PODS, name=SetName("no"))) is None
    assert reader.read("t", PODS, "bridge") is None
    assert reader.read("t", PODS) == PODS


FOREIGN = {
    "a comment": 'add set inet t x { type ipv4_addr; elements = { 0.0.0.1 comment "mine" }; }',
    "a timeout": "add set inet t x { type ipv4_addr; flags timeout; elements = { 0.0.0.1 timeout 1h }; }",
    "a counter": "add set inet t x { type ipv4_addr; counter; elements = { 0.0.0.1 counter }; }",
    "another type": "add set inet t x { type ipv6_addr; elements = { ::1 }; }",
    "ranges": "add set inet t x { type ipv4_addr; flags interval; elements = { 0.0.0.1-0.0.0.5 }; }",
    "all others": "add set inet t x { type ipv4_addr; elements = { * }; }",
    "a verdict": "add map inet t x { type ipv4_addr : verdict; elements = { 0.0.0.1 : drop }; }",
    "a mark": "add map inet t x { type ipv4_addr : mark; elements = { 0.0.0.1 : 1 }; }",
}


@pytest.mark.parametrize("script", FOREIGN.values(), ids=list(FOREIGN))
async def test_elements_that_are_not_ours_are_no_contents(
    nft: NftWorker, reader: ElementReader, script: str
) -> None:
    await nft.run(f"add table inet t\n{script}\n")
    with pytest.raises(ForeignContent):
        reader.read("t", replace(PODS, name=SetName("x")))


async def test_what_is_read_is_of_one_moment(
    nft: NftWorker, writer: ElementWriter, reader: ElementReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An element moves from the one end of a large set to the other whenever a part of it has been read."""
    whole = replace(PODS, elements=tuple(range(COUNT)), size=2 * COUNT)
    await nft.run(print_changes("t", (add(WholeTable()), add(replace(whole, elements=())))))
    for batch in split([add(whole)]):
        writer.write("t", batch)
    disturbed = Disturbed(reader, writer, whole, moves=20)
    monkeypatch.setattr(reader, "_socket", disturbed)
    held = reader.read("t", whole)
    assert disturbed.moved == 20
    # Not compared as an assertion, which would print them all.
    right = held == replace(whole, elements=tuple(range(20, COUNT + 20)))
    assert right
    disturbed.moves = COUNT
    with pytest.raises(ElementsBroken, match="all the while"):
        reader.read("t", whole)


COUNT = 20_000


class Disturbed:
    """A socket that, after each part of a dump, lets a writer delete the least element and add another."""

    def __init__(self, reader: ElementReader, writer: ElementWriter, part: Set, *, moves: int) -> None:
        self._socket, self._writer, self._part = reader._socket, writer, part
        self.moves, self.moved = moves, 0

    def send(self, data: bytes) -> int:
        return self._socket.send(data)

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if len(data) > 4096 and self.moved < self.moves:
            changes = [deletes(self._part, self.moved), adds(self._part, COUNT + self.moved)]
            self._writer.write("t", changes)
            self.moved += 1
        return data

    def close(self) -> None:
        self._socket.close()


def test_without_the_privilege_it_is_refused(namespace: Namespace) -> None:
    code = (
        "from policyd.netlink.elements import *\n"
        "from tests.netlink.test_elements import PODS, add\n"
        "try:\n    ElementWriter().write('t', [add(PODS)])\n"
        "except ElementsRefused as error:\n    print(error.errno, error)\n"
    )
    lacking = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "--"]
    done = namespace.run([*lacking, sys.executable, "-c", code])
    assert done.stdout == "1 the kernel refused to change elements: Operation not permitted\n"


async def test_large_numbers_are_read_as_they_were_written(nft: NftWorker) -> None:
    """nft lists raw bytes as a number with a sign where 64 bits hold them, and as text where they do not."""
    kind = KeyType.IFNAME_TARGET
    values = (0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, (1 << 128) - 1)
    part = Set(SetName("targets"), kind, tuple(("a", value) for value in values))
    await nft.run(print_replace(table_of((part,), "bridge")))
    assert await list_table(nft, "t", "bridge") == table_of((part,), "bridge")
