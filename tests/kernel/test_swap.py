"""From any ruleset to any other while packets run: none passes that both deny, none is lost that both allow.

The rulesets deny the same packets for different reasons: some by the sender's egress, some by the receiver's
ingress. A packet that met one half of each would pass, and is counted where it is delivered. What is allowed
is counted when it comes to the node and when it leaves it, so that a full queue elsewhere is no loss.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from policyd.applier.apply import Applier
from policyd.applier.choose import open_backend
from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.bridge import Bridge
from tests.cases.form import block, egress, ingress, namespaces, pod, pods
from tests.kernel.stream import Stream
from tests.kernel.swaps import (
    ALLOWED,
    DENIED,
    GROUP_ALLOWED,
    GROUP_DENIED,
    GROUPS,
    SECONDS,
    A,
    B,
    Meters,
    Road,
    establish,
    packets,
)
from tests.oracle import Connection, Manifest
from tests.routes import compile_attached, compile_world, packet

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

#: However busy the machine is; of the packets half are to be denied.
PACKETS, SWAPS = 50_000, 30
OTHERS = {
    f"o{number}": (f"10.244.1.{20 + number}", f"fd00:10:244:1::{20 + number:x}") for number in range(12)
}


#: What an egress rule says about groups, and what both say about the ports of groups.
TO_GROUPS = [block("224.0.0.0/4"), block("ff00::/8")]
GROUP_PORT = {"protocol": "UDP", "port": GROUP_ALLOWED}


def random_table(rng: random.Random, road: Road | None = None) -> Table:
    """Choose a ruleset that denies a > b udp/1001 and allows udp/2002, each time by other means.

    With a road also what goes to groups, udp/1101 and udp/2102: there the interfaces of pods are known, and
    those of others come and go.
    """
    objects: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
        pod("x/a", *A),
        pod("x/b", *B),
        *(pod(f"x/{name}", *addresses) for name, addresses in OTHERS.items() if rng.random() < 0.9),
    ]
    denying = rng.choice(("sender", "receiver", "sender", "receiver", "both"))
    strict = {"sender": (True, False), "receiver": (False, True), "both": (True, True)}[denying]
    if strict[0] or rng.random() < 0.5:
        to_groups = {"to": TO_GROUPS, **({"ports": [GROUP_PORT]} if strict[0] else {})}
        objects.append(egress("x", "a", *rules(rng, "to", "b", strict=strict[0]), to_groups, name="a"))
    if strict[1] or rng.random() < 0.5:
        of_groups = {"from": [pods(pod="a")], "ports": [GROUP_PORT]}
        objects.append(ingress("x", "b", *rules(rng, "from", "a", strict=strict[1]), of_groups, name="b"))
    for name in rng.sample(sorted(OTHERS), rng.randrange(len(OTHERS))):
        make, key = rng.choice(((egress, "to"), (ingress, "from")))
        objects.append(make("x", name, *rules(rng, key, rng.choice(sorted(OTHERS)), strict=True), name=name))
    options = Options(pod_interfaces=rng.choice(((), ("cali*", "cni0", "veth*"))))
    unguarded = strict[0] and not options.pod_interfaces
    links = UNKNOWN if road is None else random_links(rng, road, may_be_unknown=unguarded)
    table = compile_attached(objects, "n1", links, options).table
    for family in (0, 1):
        for port, passes in ((DENIED, False), (ALLOWED, True)):
            assert does_pass(table, A[family], B[family], port, road) is passes
        for port, passes in ((GROUP_DENIED, False), (GROUP_ALLOWED, True)):
            if road is not None and road.bridge:
                assert does_pass(table, A[family], GROUPS[family], port, road) is passes
    return table


def does_pass(table: Table, source: str, target: str, port: int, road: Road | None) -> bool:
    """Whether a packet passes the table, and the one beside."""
    met = packet(Connection(source, target, "UDP", port), "n1", {})
    assert met is not None
    devices = ("", "") if road is None else road.devices
    seen = (road.bridge, road.bridge) if road is not None and road.bridge else devices
    passes = Simulator(table).evaluate(replace(met, iifname=seen[0], oifname=seen[1])).verdict == "accept"
    if table.bridge is None:
        return passes
    bridge = Bridge.of(table)
    return passes and bridge.enters(met, devices[0]) and bridge.delivers(met, *devices)


def random_links(rng: random.Random, road: Road, *, may_be_unknown: bool) -> Attachments:
    """What is known of the node's links: always who the two are, unless that denies nothing."""
    if may_be_unknown and rng.random() < 0.3:
        return UNKNOWN
    two = {"x/a": Attachment(road.devices[0], road.bridge), "x/b": Attachment(road.devices[1], road.bridge)}
    others = {
        f"x/{name}": Attachment(f"veth{name}", road.bridge, 0x02 << 40 | number)
        for number, name in enumerate(OTHERS)
        if rng.random() < 0.6
    }
    if not road.bridge:
        return Attachments({**two, **others})
    ports = tuple(sorted(a.interface for a in (*two.values(), *others.values())))
    return Attachments({**two, **others}, (road.bridge,), ports, rng.choice(((), ("eth1",))))


def rules(rng: random.Random, key: str, peer: str, *, strict: bool) -> list[Manifest]:
    """Rules that let the peer's port 2002 pass, or all of its ports; and some about nobody here."""
    everybody = {"a": A, "b": B, **OTHERS}
    peers = [
        [pods(pod=peer)],
        [namespaces()],
        [block(f"{everybody[peer][0]}/32"), block(f"{everybody[peer][1]}/128")],
        [block("10.244.0.0/16", "10.244.1.200/32"), block("fd00::/8")],
    ]
    ports = [{"protocol": "UDP", "port": ALLOWED}, {"protocol": "UDP", "port": 2000, "endPort": 2099}]
    found: list[Manifest] = [{key: rng.choice(peers), **({"ports": [rng.choice(ports)]} if strict else {})}]
    for _ in range(rng.randrange(4)):
        address = f"198.51.100.{rng.randrange(256)}"
        found.append({key: [block(f"{address}/32")], "ports": [{"port": rng.randrange(1, 65536)}]})
    rng.shuffle(found)
    return found


async def swap(
    road: Road, tables: list[Table], rng: random.Random, *, groups: bool = False
) -> dict[str, int]:
    """Put one ruleset after another into force while the stream runs; gives what the meters say then."""
    backend = await open_backend("auto", road.node.path)
    try:
        applier = Applier(backend, "policyd")
        await applier.apply(compile_world([], "n1").table)
        establish(road)
        meters = Meters(road)
        await applier.apply(tables[0])
        with Stream(road.sender, packets(groups=groups)) as stream:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end or stream.sent < PACKETS or applier.generation < SWAPS:
                await applier.apply(rng.choice(tables))
                await applier.sweep()
    finally:
        await backend.close()
    return {"sent": stream.sent, "swaps": applier.generation, **meters.read()}


async def test_no_packet_leaks_and_none_is_lost_while_rulesets_are_swapped(
    road: Road, record_property: Callable[[str, object], None]
) -> None:
    """NP-108."""
    rng = random.Random("swap")
    tables = [random_table(rng) for _ in range(40)]
    found = await swap(road, tables, rng)
    record_property("packets", found["denied"] + found["allowed"] + found["established"])
    assert min(found["denied"], found["allowed"]) > 10_000, found
    assert found["swaps"] > 20, found
    assert (found["leaked"], found["lost"], found["cut"]) == (0, 0, 0), found


@pytest.mark.parametrize("road", ["routed", "bridged"], indirect=True)
async def test_none_leaks_and_none_is_lost_while_bindings_and_receivers_change(
    road: Road, record_property: Callable[[str, object], None]
) -> None:
    """NP-108, NP-161, NP-162: with a table in family bridge that comes, changes and goes."""
    rng = random.Random("links")
    tables = [random_table(rng, road) for _ in range(40)]
    assert len({table.bridge for table in tables}) > (10 if road.bridge else 0)
    found = await swap(road, tables, rng, groups=bool(road.bridge))
    record_property("packets", found["denied"] + found["allowed"] + found["established"])
    assert min(found["denied"], found["allowed"]) > 10_000, found
    assert found["swaps"] > 20, found
    assert (found["leaked"], found["lost"], found["cut"]) == (0, 0, 0), found
    if road.bridge:
        assert min(found["groups denied"], found["groups allowed"]) > 10_000, found
        assert (found["groups leaked"], found["groups lost"]) == (0, 0), found
