"""A packet of no known connection passes exactly if policies allow it both ways, forth and back (NP-165).

So policies that allow everything change no packet's fate, and a connection that is denied does not come back
by a packet from its middle (NP-122).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TypeAlias

import pytest

from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.attacks import frames, protocols
from tests.attacks.attack import Shots
from tests.attacks.bed import NODES, Bed, Shot
from tests.attacks.judge import by_label
from tests.attacks.lab_bed import LabBed, open_bed
from tests.cases.form import egress, ingress, pods, policy
from tests.kernel.ground import nft
from tests.lab.packets import ACK
from tests.oracle import Manifest
from tests.routes import DEFAULTS, compile_world
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

PORT = 80
EVERYTHING = policy("x", policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}])
PAIRS = (("a", "v"), ("v", "a"), ("m", "v"), ("v", "m"), ("outside", "v"), ("v", "outside"), ("v", "n1"))
CHUNKS = {"data": 0, "init ack": 2, "sack": 3, "heartbeat": 4, "abort": 6, "shutdown": 7, "cookie echo": 10}


@pytest.fixture(scope="module", params=["routed", "bridged"])
def bed(request: pytest.FixtureRequest, nothing_left: None) -> Iterator[LabBed]:
    with open_bed(request.param) as bed:
        yield bed


@pytest.fixture(autouse=True)
def _forgotten(bed: Bed) -> Iterator[None]:
    yield
    bed.heal()


def enforce(bed: LabBed, *policies: Manifest, options: Options = DEFAULTS) -> None:
    """Put these policies, and no others, in force on both nodes."""
    objects = [*bed.objects(), *policies]
    for name, node in bed.lab.nodes.items():
        nft(node, print_replace(compile_world(objects, name, options).table))


def sctp(origin: str, target: str) -> Shots:
    """SCTP that opens nothing: chunks of associations that nobody saw begin."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for label, kind in CHUNKS.items():
            mark = bed.next_mark()
            ends = bed.address(origin, family), bed.address(target, family)
            built = frames.sctp(*ends, bed.ports(mark), kind, frames.payload(mark))
            yield bed.shot(label, origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def kinds(family: int) -> Mapping[str, Callable[[str, str], Shots]]:
    """Packets of which most belong to no connection."""
    types = (3, 4, 5, 0, 11, 12, 14) if family == 4 else (1, 2, 3, 4, 129, 140)
    return {
        "flags": protocols.flags,
        "sctp": sctp,
        "icmp": lambda origin, target: protocols.icmp_types(origin, target, types, 64),
        "protocols": protocols.protocols,
        "fragments": protocols.fragmented,
        **({"options": protocols.options} if family == 4 else {"headers": protocols.headers}),
    }


def fates(bed: Bed) -> Mapping[str, bool]:
    """Which packets arrive: every kind, between every pair, in both families."""
    tried = {
        f"{kind} {origin} > {target} v{family}": list(make(origin, target)(bed, family))
        for origin, target in PAIRS
        for family in (4, 6)
        for kind, make in kinds(family).items()
    }
    through = bed.volley(shot for shots in tried.values() for shot in shots)
    return {
        f"{name}: {label}": came
        for name, shots in tried.items()
        for label, came in by_label(shots, through).items()
    }


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])
def test_policies_that_allow_everything_change_no_packets_fate(bed: LabBed, guarded: bool) -> None:
    interfaces = ("cali*",) if bed.wiring == "routed" else ("cni0", "veth*")
    options = Options(pod_interfaces=interfaces if guarded else ())
    enforce(bed, options=options)
    before = fates(bed)
    assert sum(before.values()) > 0.9 * len(before)
    for policies in (
        [EVERYTHING],
        [ingress("x", None, {})],
        [egress("x", None, {})],
        [ingress("x", "v", {}), egress("x", "a", {})],
    ):
        enforce(bed, *policies, options=options)
        bed.forget()
        after = fates(bed)
        changed = [name for name, came in before.items() if after[name] != came]
        assert not changed, changed


class Line:
    """A TCP connection between two places, with both of its ends here."""

    def __init__(self, bed: Bed, client: str, server: str, family: int) -> None:
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        with bed.place(server).entered():
            listener = socket.create_server((bed.address(server, family), PORT), family=kind)
        with listener:
            with bed.place(client).entered():
                self.near = socket.socket(kind)
            self.near.settimeout(5)
            self.near.connect((bed.address(server, family), PORT))
            self.far, _ = listener.accept()
        self.far.settimeout(5)

    def close(self) -> None:
        for end in (self.near, self.far):
            # Reset: words that were never taken are not said again later.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


@pytest.fixture
def lines(bed: Bed) -> Iterator[Callable[[str, str], tuple[Line, Line]]]:
    """Open connections from one place to another, one of each family; closed with the test."""
    with ExitStack() as stack:

        def opened(client: str, server: str) -> tuple[Line, Line]:
            pair = Line(bed, client, server, 4), Line(bed, client, server, 6)
            for line in pair:
                stack.callback(line.close)
            return pair

        yield opened


Lines: TypeAlias = Mapping[tuple[str, str], tuple[Line, Line]]
Opened: TypeAlias = Callable[[str, str], tuple[Line, Line]]
BOTH = ("client", "server")
CONNECTIONS = (("m", "v"), ("v", "m"), ("a", "v"), ("v", "a"), ("outside", "v"), ("v", "outside"))


@contextmanager
def impatient(bed: LabBed, state: str) -> Iterator[None]:
    """Nodes that forget a TCP connection in this state after a second."""
    setting = f"net.netfilter.nf_conntrack_tcp_timeout_{state}"
    usual = {node: node.run(["sysctl", "-n", setting]).stdout.strip() for node in bed.lab.nodes.values()}
    for node in usual:
        node.set_sysctls({setting: "1"})
    yield
    for node, value in usual.items():
        node.set_sysctls({setting: value})


def forgotten(bed: LabBed) -> bool:
    """Whether no node knows any TCP connection."""
    listings = (
        node.run(["conntrack", "-L", "-p", "tcp", "-f", family]).stdout
        for node in bed.lab.nodes.values()
        for family in ("ipv4", "ipv6")
    )
    return not any(listings)


def words(bed: Bed, lines: Lines, *speakers: str, awaited: bool = True) -> set[str]:
    """Say a word on each connection, at the ends of these speakers; which words did not come to the other.

    The interface tells, so a word that the receiver would not take counts, too.
    """
    shots = []
    for (client, server), pair in lines.items():
        for family, line in zip((4, 6), pair, strict=True):
            ends = {"client": (client, server, line.near), "server": (server, client, line.far)}
            for here, there, end in (ends[speaker] for speaker in speakers):
                mark = bed.next_mark()
                say = partial(end.sendall, frames.payload(mark))
                shots.append(Shot(f"{here} > {there} v{family}", mark, (there,), say))
    through = bed.volley(shots, {shot.mark for shot in shots} if awaited else ())
    return {shot.label for shot in shots if shot.mark not in through}


@pytest.mark.parametrize("way", ["flushed", "timed out", "not known at first"])
@pytest.mark.parametrize("first", ["client", "server"])
def test_an_allowed_connection_survives_that_it_is_not_known(
    bed: LabBed, lines: Opened, way: str, first: str
) -> None:
    enforce(bed, *(() if way == "not known at first" else [EVERYTHING]))
    with impatient(bed, "established") if way == "timed out" else nullcontext():
        opened = {ends: lines(*ends) for ends in CONNECTIONS}
        if way == "timed out":
            until(lambda: forgotten(bed))
    bed.forget()
    if way == "not known at first":
        enforce(bed, EVERYTHING)
    # And whoever speaks next: what the nodes learnt from the first word is right.
    assert words(bed, opened, first) == set()
    assert words(bed, opened, *BOTH) == set()


def test_a_half_closed_connection_may_wait_for_its_answer(bed: LabBed, lines: Opened) -> None:
    enforce(bed, EVERYTHING)
    opened = {ends: lines(*ends) for ends in CONNECTIONS}
    with impatient(bed, "close_wait"):
        for pair in opened.values():
            for line in pair:
                line.near.shutdown(socket.SHUT_WR)
                assert line.far.recv(1) == b""
        until(lambda: forgotten(bed))
    assert words(bed, opened, "server") == set()


@pytest.mark.parametrize("flushed", [False, True], ids=["ended by the agent", "flushed"])
def test_nothing_comes_back_of_a_connection_that_is_denied_now(
    bed: LabBed, lines: Opened, flushed: bool
) -> None:
    """Neither end revives it, though `v` may send to everybody."""
    enforce(bed, ingress("x", "v", {"from": [pods(pod="m"), pods(pod="a")]}))
    denied = {("m", "v"): lines("m", "v"), ("a", "v"): lines("a", "v")}
    assert words(bed, denied, *BOTH) == set()
    enforce(bed, ingress("x", "v", {"from": [pods(pod="f")]}))
    for node in bed.lab.nodes.values():
        for address in [bed.address("v", family) for family in (4, 6)]:
            # What the agent deletes when a change denies live connections, or everything.
            node.run(["conntrack", "-F"] if flushed else ["conntrack", "-D", "--orig-dst", address])
    everything = {f"{a} > {b} v{family}" for end in denied for a, b in (end, end[::-1]) for family in (4, 6)}
    assert words(bed, denied, *BOTH, awaited=False) == everything
    assert words(bed, denied, "server", awaited=False) == {t for t in everything if t.startswith("v >")}


def test_others_go_on_where_a_connection_is_denied(bed: LabBed, lines: Opened) -> None:
    enforce(bed, EVERYTHING)
    kept = {("f", "v"): lines("f", "v"), ("r", "v"): lines("r", "v")}
    denied = {("m", "v"): lines("m", "v"), ("a", "v"): lines("a", "v")}
    enforce(bed, ingress("x", "v", {"from": [pods(pod="f"), pods(pod="r")]}))
    bed.forget()
    assert len(words(bed, denied, *BOTH, awaited=False)) == 8
    assert words(bed, kept, *BOTH) == set()


#: Stands for a port of a client, another one for each segment.
ANY = 0
#: What `v` lets in from `m`, and what `e` may send to `s`, is port 80. From the middle of what is:
ALLOWED = (
    ("m", ANY, "v", PORT),
    ("v", PORT, "m", ANY),
    ("e", ANY, "s", PORT),
    ("s", PORT, "e", ANY),
    ("n1", ANY, "v", PORT),
    ("v", PORT, "n1", ANY),
    ("m", ANY, "s", 81),
)
#: And of what is not: as it goes, reversed, or both.
DENIED = (
    ("m", ANY, "v", 81),
    ("v", 81, "m", ANY),
    ("m", PORT, "v", ANY),
    ("v", ANY, "m", PORT),
    ("a", ANY, "v", PORT),
    ("v", PORT, "a", ANY),
    ("e", ANY, "s", 81),
    ("s", 81, "e", ANY),
    ("s", ANY, "e", PORT),
    ("e", PORT, "s", ANY),
    ("e", ANY, "outside", PORT),
    ("outside", PORT, "e", ANY),
)


def middle(bed: Bed, family: int, end: tuple[str, int, str, int]) -> Shot:
    """A segment from the middle of a connection."""
    origin, sport, target, dport = end
    mark = bed.next_mark()
    sport, dport = sport or bed.ports(mark)[0], dport or bed.ports(mark)[0]
    ends = bed.address(origin, family), bed.address(target, family)
    built = frames.tcp(*ends, (sport, dport), ACK, frames.payload(mark))
    label = f"{origin}:{sport} > {target}:{dport} v{family}"
    if origin in NODES:
        return Shot(label, mark, (target,), partial(bed.emit, origin, built))
    return bed.shot(label, origin, mark, [bed.frame(origin, target, built)], target)


def test_a_segment_from_the_middle_passes_exactly_if_both_ways_are_allowed(bed: LabBed) -> None:
    to_80 = {"ports": [{"port": PORT}]}
    enforce(
        bed,
        ingress("x", "v", {"from": [pods(pod="m")], **to_80}, name="in"),
        egress("x", "e", {"to": [pods(pod="s")], **to_80}, name="out"),
    )
    allowed = [middle(bed, family, segment) for segment in ALLOWED for family in (4, 6)]
    denied = [middle(bed, family, segment) for segment in DENIED for family in (4, 6)]
    expected = {shot.mark for shot in allowed}
    through = bed.volley([*allowed, *denied], expected)
    assert [
        shot.label for shot in (*allowed, *denied) if (shot.mark in through) != (shot.mark in expected)
    ] == []
