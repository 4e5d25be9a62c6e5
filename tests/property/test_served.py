"""A pod that is judged by Services' addresses may ask those of which it may ask all that is behind them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.for_pod import Address, Cutter, Surroundings
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import FAMILIES, L4, Family
from policyd_compiler.nft.packet import Packet
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from policyd_compiler.ruleset import Ruleset
from policyd_compiler.served import NOTHING_SERVED, Backend, Served, ServedPort
from policyd_compiler.sim import Simulator
from tests.cases.form import block, egress, namespace, pod, pods
from tests.oracle import Manifest
from tests.property.cutting import NODE, OPTIONS, local_pods
from tests.routes import compile_world
from tests.strategies.worlds import connections, worlds

PROTOCOLS: tuple[L4, ...] = ("tcp", "udp", "sctp")


@st.composite
def services_of(draw: st.DrawFn, world: list[Manifest]) -> Served:
    """Services with addresses and backends that policies of this world may say something of."""
    ends = draw(st.lists(connections(world), min_size=3, max_size=8))
    known: dict[Family, list[int]] = {family: [] for family in FAMILIES}
    for text in [text for end in ends for text in (end.src, end.dst)]:
        address = ip_address(text)
        known[4 if address.version == 4 else 6].append(int(address))
    numbers = st.sampled_from(sorted({end.dport for end in ends if end.dport is not None} | {80}))
    found: dict[Family, dict[int, tuple[ServedPort, ...]]] = {}
    for family in FAMILIES:
        if not known[family]:
            continue
        addresses = st.sampled_from(known[family])
        backends = st.lists(st.builds(Backend, addresses, numbers), max_size=3).map(tuple)
        ports = st.lists(
            st.builds(ServedPort, st.sampled_from(PROTOCOLS), numbers, backends),
            min_size=1,
            max_size=3,
            unique_by=lambda port: (port.protocol, port.number),
        ).map(tuple)
        beside = addresses.map(lambda address: address ^ 1 << 7)
        found[family] = draw(st.dictionaries(addresses | beside, ports, max_size=4))
    return found


def asks(table: Table, own: Address, address: int, protocol: L4, number: int) -> bool:
    going = Packet(own.family, own.number, address, protocol, number, "postrouting", oifname="eth0")
    return Simulator(table).evaluate(replace(going, fib_local=True)).verdict == "accept"


@settings(max_examples=40)
@given(data=st.data())
def test_a_service_may_be_asked_if_all_behind_it_may(data: st.DataObject) -> None:
    """And nothing else is judged otherwise than without it."""
    world, options = data.draw(worlds()), data.draw(OPTIONS)
    served = data.draw(services_of(world))
    built = compile_world(world, NODE, options)
    around = Surroundings()
    plain = Cutter(Ruleset(built.table), around, options)
    cutter = Cutter(Ruleset(built.table), around, options, served)
    for addresses in local_pods(built):
        without, table = (each.cut(addresses, "eth0") for each in (plain, cutter))
        assert parse_replace(print_replace(table)) == table
        for own in addresses:
            if ("asking", "egress", own.family) not in plain.leads:
                continue
            for address, ports in served.get(own.family, {}).items():
                for port in ports:
                    may = [asks(without, own, b.address, port.protocol, b.port) for b in port.backends]
                    if own.number in plain.leads["asking", "egress", own.family]:
                        expected = bool(may) and all(may)
                    else:
                        expected = asks(without, own, address, port.protocol, port.number)
                    assert asks(table, own, address, port.protocol, port.number) == expected
                    for b in port.backends:
                        if b.address not in served[own.family]:
                            direct = asks(table, own, b.address, port.protocol, b.port)
                            assert direct == asks(without, own, b.address, port.protocol, b.port)


@settings(max_examples=30)
@given(data=st.data())
def test_what_is_taken_from_the_ruleset_before_changes_nothing(data: st.DataObject) -> None:
    """Whatever changed, pods, policies or Services: the cut is that from nothing, and who is not concerned
    has the one before.
    """
    worlds_of = [data.draw(worlds()) for _ in range(2)]
    if data.draw(st.booleans()):  # the same world, but for a pod or so
        worlds_of[1] = [item for item in worlds_of[0] if data.draw(st.integers(0, 9)) > 0]
    served = [data.draw(services_of(worlds_of[0])), data.draw(services_of(worlds_of[1]))]
    if data.draw(st.booleans()):
        served[1] = served[0]
    rulesets = [compile_world(world, NODE, Options()) for world in worlds_of]
    before = Cutter(Ruleset(rulesets[0].table), Surroundings(), Options(), served[0])
    tables = {addresses: before.cut(addresses, "eth0") for addresses in local_pods(rulesets[0])}
    after = Cutter(Ruleset(rulesets[1].table), Surroundings(), Options(), served[1], before)
    fresh = Cutter(Ruleset(rulesets[1].table), Surroundings(), Options(), served[1])
    since = after.since(before)
    for addresses in local_pods(rulesets[1]):
        wanted = fresh.cut(addresses, "eth0")
        assert after.cut(addresses, "eth0") == wanted
        if addresses in tables and not since.concerns(addresses, tables[addresses]):
            assert tables[addresses] == wanted


def test_an_address_that_a_block_allows_leads_to_no_pod_that_it_excepts() -> None:
    """What a Service's address hides: here the block holds it, but not the pod behind it."""
    except_b = {"to": [block("0.0.0.0/0", "10.244.1.2/32")]}
    to_c = {"to": [pods(pod="c")]}
    world = [
        namespace("x"),
        *(pod(f"x/{name}", f"10.244.1.{i}") for i, name in enumerate("abc", start=1)),
        egress("x", "a", except_b, name="block"),
    ]
    own, service = Address(4, int(ip_address("10.244.1.1"))), int(ip_address("10.96.0.1"))
    b, c = (Backend(int(ip_address(f"10.244.1.{i}")), 8080) for i in (2, 3))

    def may(world: list[Manifest], *backends: Backend) -> bool:
        served: Served = {4: {service: (ServedPort("tcp", 80, backends),)}}
        table = Cutter(Ruleset(compile_world(world, NODE).table), Surroundings(), Options(), served)
        return asks(table.cut([own], "eth0"), own, service, "tcp", 80)

    assert [may(world), may(world, b), may(world, c), may(world, b, c)] == [False, False, True, False]
    selected = [*world[:-1], egress("x", "a", to_c, name="selector")]
    assert [may(selected), may(selected, b), may(selected, c)] == [False, False, True]
    nobody = Cutter(Ruleset(compile_world(selected, NODE).table), Surroundings(), Options(), NOTHING_SERVED)
    assert not asks(nobody.cut([own], "eth0"), own, service, "tcp", 80)


def test_who_is_behind_a_service_and_no_peer_any_more_takes_it_along() -> None:
    """Also where one set of peers is all that changed, and where nothing but Services did."""
    own, service = Address(4, int(ip_address("10.244.1.1"))), int(ip_address("10.96.0.1"))
    c, d = (Backend(int(ip_address(f"10.244.2.{i}")), 8080) for i in (3, 4))

    def ruleset(c: str) -> Ruleset:
        world = [namespace("x"), pod("x/a", "10.244.1.1"), egress("x", "a", {"to": [pods(pod="c")]})]
        world += [pod("x/c", c, node="n2"), pod("x/d", "10.244.2.4", node="n2")]
        return Ruleset(compile_world(world, NODE).table)

    def cutter(rules: Ruleset, backends: tuple[Backend, ...], before: Cutter | None = None) -> Cutter:
        served: Served = {4: {service: (ServedPort("tcp", 80, backends),)}}
        return Cutter(rules, Surroundings(), Options(), served, before)

    rules = ruleset("10.244.2.3")
    first = cutter(rules, (c,))
    table = first.cut([own], "eth0")
    assert asks(table, own, service, "tcp", 80)
    for other, backends in ((ruleset("10.244.2.9"), (c,)), (rules, (c, d)), (rules, ())):
        after = cutter(other, backends, first)
        assert after.since(first).concerns([own], table)
        assert not asks(after.cut([own], "eth0"), own, service, "tcp", 80)
    assert not cutter(rules, (c,), first).since(first).concerns([own], table)


def test_what_is_known_of_an_address_goes_when_what_names_it_says_something_else() -> None:
    """It stays one that the chain names, of which other ports are allowed; all chains stay, for others."""
    own, service = Address(4, int(ip_address("10.244.1.1"))), int(ip_address("10.96.0.1"))
    rules = [
        {"to": [pods(pod="c")], "ports": [{"port": 8080}]},
        {"to": [pods(tier="back")], "ports": [{"port": 9090}]},
    ]
    served: Served = {4: {service: (ServedPort("tcp", 80, (Backend(int(ip_address("10.244.2.3")), 8080),)),)}}

    def cutter(labels: dict[str, str], before: Cutter | None = None) -> Cutter:
        world = [namespace("x"), pod("x/a", "10.244.1.1"), egress("x", "a", *rules)]
        for number, known in enumerate((labels, {"pod": "c"}, {"pod": "other"}), start=3):
            metadata = {"labels": {"tier": "back", **known}}
            world.append(pod(f"x/p{number}", f"10.244.2.{number}", node="n2", metadata=metadata))
        table = compile_world(world, NODE).table
        return Cutter(Ruleset(table), Surroundings(), Options(), served, before)

    first = cutter({"pod": "c"})
    assert asks(first.cut([own], "eth0"), own, service, "tcp", 80)
    second = cutter({"pod": "other"}, first)
    assert not asks(second.cut([own], "eth0"), own, service, "tcp", 80)
