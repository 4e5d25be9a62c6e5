"""Somebody else's writing is told from our own by the socket it came from: with a real kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from policyd.applier.monitor import TableMonitor
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.elements import ElementWriter
from policyd_compiler.nft.ast import Drop, Set, TableFamily, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, WholeTable, add, print_changes
from policyd_compiler.nft.keys import KeyType, SetName
from tests.netlink.conftest import namespace, nft, writer

__all__ = ["namespace", "nft", "writer"]

pytestmark = pytest.mark.kernel

FAMILIES: tuple[TableFamily, ...] = ("inet", "bridge")
PODS = Set(SetName("pods"), KeyType.V4)
WAYS = VerdictMap(SetName("ways"), KeyType.V4)
WRITES = (
    add(Set(PODS.name, PODS.key, (1, 2))),
    add(VerdictMap(WAYS.name, WAYS.key, ((1, Drop()),))),
    Change("delete", Elements(PODS.name, PODS.key, (1,))),
)


@pytest.fixture
def other(namespace: Namespace) -> Iterator[ElementWriter]:
    """Another socket of this process: what it writes is somebody else's."""
    with namespace.entered():
        made = ElementWriter()
    yield made
    made.close()


@pytest.fixture
async def monitor(namespace: Namespace, nft: NftWorker) -> AsyncIterator[TableMonitor]:
    """A monitor that listens, and knows what there is."""
    for family in FAMILIES:
        await nft.run(print_changes("t", (add(WholeTable()), add(PODS), add(WAYS)), family))
    made = TableMonitor("t", lambda: None)
    with namespace.entered():
        made.listen()
    assert (made.trouble, made.tampered) == ("", False)
    yield made
    made.close()


def write(writer: ElementWriter, family: TableFamily, *changes: Change) -> None:
    writer.write("t", changes if family == "inet" else (), changes if family == "bridge" else ())


def one_more(number: int) -> Change:
    """An element that is not there yet: of one that is, nobody hears."""
    return add(Set(PODS.name, PODS.key, (100 + number,)))


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_a_trusted_socket_writes_is_no_suspicion(
    monitor: TableMonitor, nft: NftWorker, writer: ElementWriter, other: ElementWriter, family: TableFamily
) -> None:
    """Without a pause; and what comes in between is noticed, by whatever it is written."""
    monitor.trusted.add(writer.port)
    for change in WRITES:
        write(writer, family, change)
    assert not tampered(monitor)
    write(writer, family, one_more(1))
    write(other, family, one_more(2))
    write(writer, family, one_more(3))
    assert tampered(monitor)
    await nft.run(f"add element {family} t pods {{ 10.9.9.9 }}\n")
    assert tampered(monitor)
    monitor.trusted.clear()
    write(writer, family, one_more(4))
    assert tampered(monitor)


def tampered(monitor: TableMonitor) -> bool:
    """Whether a foreign change was noticed since this was last asked."""
    monitor._read()
    heard, monitor.tampered = monitor.tampered, False
    return heard


async def test_a_pause_counts_what_a_trusted_socket_writes_in_it(
    monitor: TableMonitor, writer: ElementWriter, other: ElementWriter
) -> None:
    """Nobody hears whose it is then: the number of transactions is all that there is."""
    monitor.trusted.add(writer.port)
    for foreign, tampered in ((False, False), (True, True)):
        monitor.pause()
        writer.write("t", [WRITES[0]])
        writer.write("t", [WRITES[1]])
        if foreign:
            other.write("t", [WRITES[2]])
        monitor.resume(2)
        assert monitor.tampered == tampered


async def test_the_loop_reads_without_being_asked(monitor: TableMonitor, other: ElementWriter) -> None:
    heard = asyncio.Event()
    monitor._on_change = heard.set
    other.write("t", [WRITES[0]])
    async with asyncio.timeout(10):
        await heard.wait()
