"""Elements change in place while packets run: in a safe order no packet feels it, in one transaction some do.

What is denied before and after must never pass, and what is allowed before and after must always. The same
changes in one transaction must be felt in the same run: or the packets did not come by at the right moments,
and nothing was proved. Rules that match nothing stand between the questions, to make those moments longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal, TypeAlias

import pytest

from policyd.applier.grace import wait_for_packets
from policyd.lab.namespace import Namespace
from policyd.netlink.elements import ElementWriter
from policyd_compiler.delta import in_place
from policyd_compiler.lower.link import NEIGHBOURS
from policyd_compiler.nft.ast import Accept, Chain, ChainName, Drop, Hook, Jump, Rule, Table
from policyd_compiler.nft.commands import Change
from policyd_compiler.nft.expressions import Field, Match, numbers
from policyd_compiler.nft.keys import Family
from policyd_compiler.nft.printer import print_replace
from tests.kernel.ground import nft
from tests.kernel.scene import watch
from tests.kernel.stream import Stream
from tests.kernel.swaps import SOURCE_PORT, Road, datagram
from tests.setting import chosen_count
from tests.splits import OLDER
from tests.strategies.judged import BASE, Contents, Form, Forms, judged, names

pytestmark = pytest.mark.kernel

#: How often elements change in a safe order. A thousand take a minute for each test.
CHANGES = chosen_count("POLICYD_IN_PLACE_CHANGES", 60)
#: In one transaction: so many changes at a time, and so many times at most, until one is felt.
AT_ONCE, ROUNDS = 5000, 100
A, B = 0, 1
DENY, ALL, WEB, TLS, BOTH, WIDE = range(6)
SLOW = ChainName("slow")
SLOWER = 60


@dataclass(frozen=True, slots=True)
class Scene:
    """A change of elements; of what `a` sends to `b` one port is denied before and after, one allowed."""

    forms: Forms
    old: Contents
    new: Contents
    denied: int
    allowed: int
    #: What becomes of some packets if all changes in one transaction.
    felt: Literal["leaked", "lost"]


SCENES: Mapping[str, Scene] = {
    "egress narrows and ingress widens": Scene(
        {("out", A): Form(own=BOTH, default=TLS), ("in", B): Form(own=BOTH, default=TLS)},
        {"own-out-0": {B: 0}},
        {"own-in-1": {A: 0}},
        denied=80,
        allowed=443,
        felt="leaked",
    ),
    "a peer moves to a set that is asked earlier": Scene(
        {("in", B): Form(shared=((0, BOTH), (1, WEB)))},
        {"shared-1": {A: 0}},
        {"shared-0": {A: 0}},
        denied=90,
        allowed=80,
        felt="lost",
    ),
    "a peer enters a group, and its own verdict": Scene(
        {("in", B): Form(own=WEB, shared=((0, BOTH),), default=WIDE)},
        {},
        {"shared-0": {A: 0}, "own-in-1": {A: 0}},
        denied=443,
        allowed=80,
        felt="leaked",
    ),
}
Steps: TypeAlias = Sequence[Sequence[Change]]
#: Where packets are judged: as a node sends them on, and as somebody sends them.
Place: TypeAlias = Literal["forward", "output"]
#: Each scene in each place, and in each family.
CASES: tuple[tuple[str, Place, Family], ...] = (
    ("egress narrows and ingress widens", "forward", 4),
    ("egress narrows and ingress widens", "output", 6),
    ("a peer moves to a set that is asked earlier", "forward", 6),
    ("a peer moves to a set that is asked earlier", "output", 4),
    ("a peer enters a group, and its own verdict", "forward", 4),
    ("a peer enters a group, and its own verdict", "output", 6),
)


@pytest.mark.parametrize(
    ("name", "hook", "family"),
    # What a hook `output` refuses is sent packet by packet: it takes longer until one comes by.
    [pytest.param(*case, marks=pytest.mark.slow if "output" in case else ()) for case in CASES],
)
@pytest.mark.parametrize("road", ["routed"], indirect=True)
def test_in_a_safe_order_no_packet_feels_that_elements_change(
    road: Road, name: str, hook: Place, family: Family, record_property: Callable[[str, object], None]
) -> None:
    """NP-108."""
    scene = SCENES[name]
    old, new = (table(scene, family, of) for of in (scene.old, scene.new))
    careful = [steps(one, other) for one, other in ((old, new), (new, old))]
    at_once = [[together(way)] for way in careful]
    assert max(map(len, careful)) > 1
    place = road.node if hook == "forward" else road.sender
    nft(place, print_replace(slowed(old, hook)))
    meters = Meters(road, scene, hook)
    found = changed(place, road, stream(scene, family), careful, CHANGES, wait_for_packets)
    unfelt = meters.read()
    rounds = 0
    while rounds < ROUNDS and not meters.read()[scene.felt]:
        rounds += 1
        changed(place, road, stream(scene, family), at_once, AT_ONCE)
    felt = meters.read()
    record_property("packets", felt["denied"] + felt["allowed"])
    told = f"in {found} transactions {unfelt}; in {rounds * AT_ONCE} transactions {felt}"
    assert min(unfelt["denied"], unfelt["allowed"]) > 1000, told
    assert (unfelt["leaked"], unfelt["lost"]) == (0, 0), told
    assert felt[scene.felt], f"no power: {told}"


def table(scene: Scene, family: Family, contents: Contents) -> Table:
    return judged(family, scene.forms, {name: contents.get(name, {}) for name in names()}, protocol="udp")


def steps(old: Table, new: Table) -> Steps:
    """The transactions of the product."""
    delta = in_place(old, new, OLDER)
    assert delta is not None
    return delta.steps


def together(way: Steps) -> tuple[Change, ...]:
    """All in one transaction."""
    return tuple(change for step in way for change in step)


def slowed(table: Table, hook: Place) -> Table:
    """The same ruleset at a hook, with a way to go before each rule but the first of each chain.

    Neighbours are found: who sends asks for them.
    """
    way = Rule(Jump(SLOW))

    def slow(chain: Chain) -> Chain:
        rules = (*chain.rules[:1], *(rule for later in chain.rules[1:] for rule in (way, later)))
        if chain.hook is None:
            return replace(chain, rules=rules)
        found = Rule(Accept(), (NEIGHBOURS,))
        return replace(chain, name=ChainName(hook), rules=(found, *rules), hook=Hook(hook, -10))

    drops = tuple(Rule(Drop(), (Match(Field.UDP_SPORT, numbers(port)),)) for port in range(1, SLOWER + 1))
    chains = (*map(slow, table.chains), Chain(SLOW, drops))
    return replace(table, chains=tuple(sorted(chains, key=lambda chain: chain.name)))


def changed(
    place: Namespace,
    road: Road,
    sent: Mapping[str, Sequence[bytes]],
    ways: Sequence[Steps],
    times: int,
    wait: Callable[[], None] = lambda: None,
) -> int:
    """Change elements there and back while packets run, and wait after each transaction.

    An even number of times, so that all is as before. Gives how many transactions it were.
    """
    done = 0
    with place.entered():
        writer = ElementWriter()
    with closing(writer), apart() as processor, Stream(road.sender, sent, processor):
        for number in range(times // 2 * 2):
            for step in ways[number % 2]:
                writer.write("policyd", step)
                done += 1
                wait()
    return done


@contextmanager
def apart() -> Iterator[int | None]:
    """Keep this thread off one processor, which it gives: two that wake each other would share theirs.

    None where there is only one.
    """
    allowed = os.sched_getaffinity(0)
    first, *others = sorted(allowed)
    if not others:
        yield None
        return
    os.sched_setaffinity(0, others)
    try:
        yield first
    finally:
        os.sched_setaffinity(0, allowed)


def stream(scene: Scene, family: Family) -> dict[str, list[bytes]]:
    source, destination = (str(ip_address(BASE[family] + pod)) for pod in (A, B))
    ports = (scene.denied, scene.allowed)
    return {destination: [datagram(source, destination, SOURCE_PORT + port, port) for port in ports] * 32}


class Meters:
    """Counters of the stream, where it comes to the rules and where it has passed them."""

    def __init__(self, road: Road, scene: Scene, hook: Place) -> None:
        place, came = (road.node, "prerouting") if hook == "forward" else (road.sender, "output")
        ports = {"denied": scene.denied, "allowed": scene.allowed}
        self._came = {n: watch(place, came, f"udp dport {port}", priority=-400) for n, port in ports.items()}
        self._left = {n: watch(place, "postrouting", f"udp dport {port}") for n, port in ports.items()}
        deaf(road.receiver, ports.values())

    def read(self) -> dict[str, int]:
        """Read all of them; the stream must have ended."""
        denied, allowed = self._came["denied"](), self._came["allowed"]()
        lost = allowed - self._left["allowed"]()
        return {"denied": denied, "allowed": allowed, "leaked": self._left["denied"](), "lost": lost}


def deaf(place: Namespace, ports: Iterable[int]) -> None:
    """Let nobody answer."""
    nft(
        place,
        "add table inet deaf\n"
        "add chain inet deaf c { type filter hook prerouting priority 301; }\n"
        f"add rule inet deaf c udp dport {{ {', '.join(map(str, ports))} }} drop\n",
    )
