"""The readers of what the kernel answers: a datagram of netlink messages, met by each of them."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

from policyd.applier.monitor import TableMonitor
from policyd.errors import EnvironmentRefused
from policyd.netlink import conntrack, links, netfilter, peers
from policyd.netlink.element_codec import decode, encode
from policyd.netlink.element_reader import ElementReader
from policyd.netlink.elements import ElementWriter, _pieces
from policyd.netlink.messages import Malformed, attribute, message, messages
from policyd_compiler.nft.ast import ChainName, Drop, Goto, Set, VerdictMap
from policyd_compiler.nft.commands import add
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.nft.keys import KeyType, SetName
from tests.fuzz.mutations import BYTES
from tests.fuzz.target import Target

PARTS = (
    VerdictMap(SetName("m"), KeyType.V4, ((1, Drop()), (2, Goto(ChainName("c"))))),
    Set(SetName("s"), KeyType.IFNAME_ETHER, (("eth0", 1), ("eth1", 2))),
    Set(SetName("r"), KeyType.V4, ((1, 9), (20, 20), (99, (1 << 32) - 1)), interval=True),
    Set(SetName("n"), KeyType.IFNAME, ("eth*", "veth1"), interval=True),
)
_NEW_ELEMENTS, _NEW_LINK, _NEW_FLOW, _ERROR, _DONE = 10 << 8 | 12, 16, 1 << 8, 2, 3
DONE = message(_DONE, 2, bytes(4))


class Answered:
    """A socket with one answer, or the same some times, and silence behind it. Nothing else has an effect."""

    def __init__(self, answer: bytes, times: int = 1) -> None:
        self._answer, self._times = answer, times

    def send(self, question: bytes) -> int:
        """Take any question."""
        return len(question)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        """The answer."""
        if not self._times:
            raise BlockingIOError(errno.EAGAIN, "nothing came")
        self._times -= 1
        return self._answer

    def setsockopt(self, *_option: int) -> None:
        """Take any option."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""


def asked(module: Any, question: Callable[[], object]) -> Callable[[bytes], object]:
    """What a question of a module makes of an answer."""

    def ask_for(answer: bytes) -> object:
        before = module.open_socket
        module.open_socket = lambda _protocol: Answered(answer)
        try:
            return question()
        finally:
            module.open_socket = before

    return ask_for


def elements_of(part: Set | VerdictMap) -> bytes:
    """What a dump of a part has behind the header."""
    place = attribute(1, b"t\0") + attribute(2, part.name.encode() + b"\0")
    return bytes((1, 0, 0, 0)) + place + attribute(3, b"".join(encode(part)))


def link() -> bytes:
    """A port of a bridge, as rtnetlink has it."""
    info = attribute(1, b"veth\0") + attribute(4, b"bridge\0") + attribute(5, attribute(33, b"\1"))
    fields = attribute(3, b"eth0\0") + attribute(5, struct.pack("=I", 7)) + attribute(18, info)
    return (
        struct.pack("=BxHiII", 0, 1, 3, 0, 0) + fields + attribute(23, bytes(200)) + attribute(37, bytes(4))
    )


def flow() -> bytes:
    """A connection, as conntrack has it."""

    def side(source: int, port: int) -> bytes:
        addresses = attribute(1, bytes((10, 0, 0, source))) + attribute(2, bytes((10, 0, 0, 9)))
        ports = attribute(1, b"\6") + attribute(2, port.to_bytes(2)) + attribute(3, b"\0P")
        return attribute(1, addresses) + attribute(2, ports)

    fields = attribute(1, side(1, 5000)) + attribute(2, side(2, 80)) + attribute(3, bytes(4))
    return bytes((2, 0, 0, 0)) + fields + attribute(12, bytes(4))


def refusal() -> bytes:
    """A refusal that says where, to a transaction of one change."""
    told = struct.pack("=iIHHII", -errno.EEXIST, 64, _NEW_ELEMENTS, 5, 1, 0)
    return message(_ERROR, 0x200, told + attribute(2, struct.pack("=I", 44)), 1)


GOOD = (
    message(_NEW_ELEMENTS, 2, elements_of(PARTS[0])) + DONE,
    *(message(_NEW_ELEMENTS, 2, elements_of(part)) for part in PARTS[1:]),
    message(_NEW_LINK, 2, link()) + message(_NEW_LINK, 2, link()) + DONE,
    message(_NEW_FLOW, 2, flow()) + DONE,
    refusal(),
    message(10 << 8 | 15, 0, bytes(4) + attribute(1, bytes(4))) + message(_ERROR, 0, bytes(20)),
)


def flows(answer: bytes) -> object:
    """The connections in an answer, of any address."""
    listed = object.__new__(conntrack.Conntrack)
    listed._socket = cast(Any, Answered(answer))
    return listed.list({4: [10 << 24 | 1]})


def judged(answer: bytes) -> object:
    """What a writer makes of it."""
    writer = object.__new__(ElementWriter)
    writer._socket = cast(Any, Answered(answer))
    writer._judge(list(_pieces("t", "inet", [add(PARTS[0])])), 1)
    return "written"


def dumped(answer: bytes) -> object:
    """What a reader makes of it: it asks for the number of transactions first, which is answered so, too."""
    reader = object.__new__(ElementReader)
    reader._socket, reader._sequence = cast(Any, Answered(answer, 3)), -1
    return reader.read("t", PARTS[0])


def noticed(answer: bytes) -> object:
    """What a monitor makes of it."""
    return [TableMonitor("t", lambda: None)._is_foreign(each) for each in messages(answer)]


def decoded(answer: bytes) -> object:
    """Every message as elements of each part."""
    part = next((part for part in PARTS if part.name.encode() + b"\0" in answer), PARTS[0])
    return decode([each.payload[24:] for each in messages(answer)], part).elements


READERS: tuple[Callable[[bytes], object], ...] = (
    decoded,
    asked(links, links.read_links),
    asked(links, lambda: links.read_ways(["10.0.0.1"])),
    asked(links, lambda: links.read_programmed([links.Link(1, "eth0")])),
    asked(peers, lambda: peers.read_peers([links.Link(1, "eth0", peer=2, netns=3)])),
    asked(netfilter, netfilter.table_names),
    asked(netfilter, netfilter.flowtable_names),
    asked(netfilter, lambda: netfilter.chain_exists("ip", "filter", "c")),
    asked(netfilter, netfilter.count_connections),
    lambda answer: netfilter.read_generation(cast(Any, Answered(answer))),
    flows,
    judged,
    dumped,
    noticed,
)


def netlink_reader(_directory: Path) -> Target:
    """An answer of the kernel: what is none raises OSError, or what says that elements are not ours."""

    def read(text: bytes) -> str:
        said: list[str] = []
        for reader in READERS:
            try:
                said.append(f"{reader(text)}"[:40])
            except Malformed:
                said.append("none")
            except (OSError, EnvironmentRefused, ForeignContent) as error:
                said.append(f"{type(error).__name__} {error}"[:60])
        return "; ".join(said)

    return Target("netlink", read, GOOD, BYTES)
