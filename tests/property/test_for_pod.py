"""A node's ruleset cut for one pod: judges its packets as the policies say, with what its own rules name."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.pipeline import Build
from policyd_compiler.addr import Ranges
from policyd_compiler.delta import in_place
from policyd_compiler.for_pod import Address, Cutter, Surroundings
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import FAMILIES, Family
from policyd_compiler.nft.packet import CtStateName, HookName, Packet
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from policyd_compiler.plan import differences, plan
from policyd_compiler.roles import Role, roles
from policyd_compiler.ruleset import Ruleset
from policyd_compiler.sim import Simulator
from tests.cases.form import egress, ingress, namespace, pod, pods
from tests.fakes.fake_nft import FakeNft
from tests.oracle import Connection, Manifest, Oracle
from tests.property.cutting import NODE, OPTIONS, local_pods
from tests.property.holding import bare, held
from tests.routes import compile_world, node_addresses, packet
from tests.splits import ATOMIC
from tests.strategies.worlds import connections, worlds


class Inside:
    """The tables of a node's pods, as their own namespaces would have them."""

    def __init__(self, world: list[Manifest], options: Options) -> None:
        self.own = node_addresses(world)
        nodes = [ip_address(text) for text in self.own.get(NODE, ())]
        around = Surroundings({f: tuple(sorted(int(a) for a in nodes if a.version == f)) for f in FAMILIES})
        self.built = compile_world(world, NODE, options)
        cutter = Cutter(Ruleset(self.built.table), around, options)
        self.tables = {
            str(address): cutter.cut(addresses, "eth0")
            for addresses in local_pods(self.built)
            for address in map(print_of, addresses)
        }

    def passes(self, connection: Connection, seen: Packet) -> bool | None:
        """Whether the ends that are pods of the node let a packet pass; None where none is."""
        found = []
        ends: tuple[tuple[str, HookName], ...]
        ends = (connection.src, "postrouting"), (connection.dst, "prerouting")
        for end, hook in ends:
            table = self.tables.get(str(ip_address(end)))
            if table is None or (hook == "postrouting" and connection.local_node is not None):
                continue
            there = replace(seen, hook=hook, iifname="eth0", oifname="eth0", fib_local=hook == "postrouting")
            found.append(Simulator(table).evaluate(there).verdict == "accept")
        return all(found) if found else None


def print_of(address: Address) -> str:
    return str(ip_address(address.number.to_bytes(4 if address.family == 4 else 16)))


@settings(max_examples=40)
@given(data=st.data())
def test_the_namespaces_of_both_ends_do_what_the_oracle_says(data: st.DataObject) -> None:
    """Whatever policies say of a packet of the node's pods, its cuts say, each for its own pod."""
    world, options = data.draw(worlds()), data.draw(OPTIONS)
    oracle = Oracle(world, node_egress_exempt=options.node_egress == "exempt", evaluate_hairpin=True)
    inside = Inside(world, options)
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        seen = packet(connection, NODE, inside.own)
        if connection.src == connection.dst or seen is None:
            continue
        if (found := inside.passes(connection, seen)) is not None:
            assert found == oracle.node_verdict(connection, NODE), oracle.explain(connection, NODE)


@settings(max_examples=40)
@given(data=st.data())
def test_what_opens_no_connection_is_judged_as_the_node_judges_it(data: st.DataObject) -> None:
    """Strays and errors: the verdict of the node's own table (NP-086, NP-122, NP-165)."""
    world, options = data.draw(worlds()), data.draw(OPTIONS)
    inside = Inside(world, options)
    node = Simulator(inside.built.table)
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        seen = packet(connection, NODE, inside.own)
        if connection.src == connection.dst or seen is None or seen.hook != "forward":
            continue
        states: st.SearchStrategy[CtStateName] = st.sampled_from(["new", "established", "related", "invalid"])
        stray = replace(seen, ct_state=data.draw(states), tcp_syn=False, sport=data.draw(st.integers(78, 82)))
        if (found := inside.passes(connection, stray)) is not None:
            assert found == (node.evaluate(stray).verdict == "accept"), stray


@settings(max_examples=40)
@given(data=st.data())
def test_what_a_mesh_carries_inside_is_judged_as_if_it_came_and_went_by_itself(data: st.DataObject) -> None:
    """On `lo` what ztunnel hands over, and what an application says before ztunnel takes it.

    From a loopback address it is the pod's own there, and on the network a forgery.
    """
    world = data.draw(worlds())
    options = replace(data.draw(OPTIONS), istio_ambient="translate")
    inside = Inside(world, options)
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        seen = packet(connection, NODE, inside.own)
        if connection.src == connection.dst or seen is None or ip_address(connection.src).is_loopback:
            continue
        came = replace(seen, hook="prerouting", iifname="eth0", fib_local=False)
        went = replace(seen, hook="postrouting", oifname="eth0", fib_local=True)
        pairs = (
            (connection.dst, came, replace(came, hook="input", iifname="lo")),
            (connection.src, went, replace(went, hook="output")),
        )
        for end, outside, carried in pairs:
            if (table := inside.tables.get(str(ip_address(end)))) is not None:
                simulator = Simulator(table)
                assert simulator.evaluate(carried).verdict == simulator.evaluate(outside).verdict, carried


def cuts(built: Build, options: Options) -> list[tuple[tuple[Address, ...], Table]]:
    cutter = Cutter(Ruleset(built.table), Surroundings({4: (1, 2), 6: (3,)}), options)
    return [(addresses, cutter.cut(addresses, "eth0")) for addresses in local_pods(built)]


@settings(max_examples=30)
@given(worlds(), OPTIONS)
def test_a_cut_holds_what_its_rules_name_and_nothing_else(world: list[Manifest], options: Options) -> None:
    """No element, chain or set that none of the pod's packets comes to; and a text that nft would read."""
    for _, table in cuts(compile_world(world, NODE, options), options):
        of = roles(Ruleset(table))
        assert Role.LEFT not in of.values()
        assert Ruleset(table).references.keys() >= {n for r in Ruleset(table).references.values() for n in r}
        assert bare(parse_replace(print_replace(table))) == bare(table)


@settings(max_examples=20)
@given(worlds(), OPTIONS, st.randoms(use_true_random=False))
def test_a_cut_depends_on_nothing_but_what_it_is_of(
    world: list[Manifest], options: Options, rng: random.Random
) -> None:
    """The order of objects changes no byte of it."""
    one = cuts(compile_world(world, NODE, options), options)
    rng.shuffle(world)
    other = cuts(compile_world(world, NODE, options), options)
    assert [print_replace(table) for _, table in one] == [print_replace(table) for _, table in other]


@settings(max_examples=20)
@given(worlds(), worlds())
def test_plans_lead_from_any_cut_to_any_other(old: list[Manifest], new: list[Manifest]) -> None:
    """In steps, as for a node's own table: only a first one replaces."""
    options = Options()
    for (_, before), (_, after) in zip(
        cuts(compile_world(old, NODE), options), cuts(compile_world(new, NODE), options), strict=False
    ):
        nft = FakeNft()
        asyncio.run(nft.run(print_replace(before)))
        planned = plan(before, after)
        assert not any(step.kind == "replace" for step in planned.steps)
        for step in planned.steps:
            asyncio.run(nft.run(step.script))
        found = held(nft)
        assert found is not None
        assert not differences(found, planned.brings)


def test_in_the_namespace_of_a_pod_elements_change_in_place() -> None:
    """A peer comes: its address enters the set that the pod's chain asks, and nothing else happens."""
    world = [
        namespace("x"),
        pod("x/a", "10.244.1.1"),
        pod("x/b", "10.244.2.2", node="n2"),
        ingress("x", "a", {"from": [pods(app="client")]}),
    ]
    clients = [
        pod(f"x/c{n}", f"10.244.2.{n}", node="n2", metadata={"labels": {"app": "client"}}) for n in (8, 9)
    ]
    before, after = (compile_world([*world, *found], NODE) for found in (clients[:1], clients))
    [(_, old)], [(_, new)] = cuts(before, Options()), cuts(after, Options())
    delta = in_place(old, new, ATOMIC)
    assert delta is not None
    assert [len(step) for step in delta.steps] == [1]


def test_a_pod_that_nothing_isolates_sends_with_its_own_address_only() -> None:
    """No policy, no look-up for one; that a source is the pod's own holds for every pod (NP-162)."""
    [(_, table)] = cuts(compile_world([namespace("x"), pod("x/a", "10.244.1.1")], NODE), Options())
    assert [part.name[:4] for part in table.sets] == ["node", "node", "own4", "own6"]
    assert not table.maps


def test_the_node_reaches_an_isolated_pod_and_nobody_else_does() -> None:
    """By its addresses, as nothing else tells its packets there (NP-090)."""
    built = compile_world([namespace("x"), pod("x/a", "10.244.1.1", "fd00::1"), ingress("x", "a")], NODE)
    [(_, table)] = cuts(built, Options())
    coming = Packet(4, 1, int(ip_address("10.244.1.1")), "tcp", 80, "prerouting", iifname="eth0")
    assert Simulator(table).evaluate(coming).verdict == "accept"
    for other in (
        replace(coming, saddr=9),
        replace(coming, saddr=9, daddr=int(ip_address("224.0.0.1"))),
        replace(coming, family=6, saddr=1, daddr=int(ip_address("fd00::1"))),
    ):
        assert Simulator(table).evaluate(other).verdict == "drop"
        assert Simulator(table).evaluate(replace(other, iifname="net1")).verdict == "accept"


def test_what_a_node_rewrites_is_judged_by_the_node() -> None:
    """What goes to a Service's address is no pod's yet; and only its own address may be on it (NP-162)."""
    built = compile_world([namespace("x"), pod("x/a", "10.244.1.1"), egress("x", "a")], NODE)
    own, service = int(ip_address("10.244.1.1")), int(ip_address("10.96.0.1"))
    going = Packet(4, own, service, "tcp", 80, "postrouting", oifname="eth0")
    some: Mapping[Family, Ranges] = {4: ((service, service + 9),)}
    none: Mapping[Family, Ranges] = {}
    for services, verdict in ((none, "drop"), (some, "accept")):
        cutter = Cutter(Ruleset(built.table), Surroundings(services=services), Options())
        table = cutter.cut([Address(4, own)], "eth0")
        assert Simulator(table).evaluate(going).verdict == verdict
        assert Simulator(table).evaluate(replace(going, saddr=9)).verdict == "drop"


def test_what_a_pod_sends_itself_through_its_service_comes_back() -> None:
    """With a source of the network's, which nobody else has; unless that is judged, too (NP-096)."""
    built = compile_world([namespace("x"), pod("x/a", "10.244.1.1"), ingress("x", "a")], NODE)
    own, returned = int(ip_address("10.244.1.1")), int(ip_address("169.254.42.1"))
    around = Surroundings({4: (int(ip_address("192.0.2.1")),)}, returns={4: (returned,)})
    coming = Packet(4, returned, own, "tcp", 80, "prerouting", iifname="eth0")
    for options, verdict in ((Options(), "accept"), (Options(hairpin="evaluate"), "drop")):
        table = Cutter(Ruleset(built.table), around, options).cut([Address(4, own)], "eth0")
        assert Simulator(table).evaluate(coming).verdict == verdict
        assert Simulator(table).evaluate(replace(coming, saddr=returned + 1)).verdict == "drop"
        assert parse_replace(print_replace(table)) == table
        going = Packet(4, own, returned, "tcp", 80, "postrouting", oifname="eth0")
        assert Simulator(table).evaluate(replace(going, saddr=returned, daddr=9)).verdict == "drop"
