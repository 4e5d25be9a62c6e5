"""What changes between two worlds = what is allowed in one of them and denied in the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given

from policyd.ask.diff import Change, difference, rules_between
from policyd.ask.ends import end_of
from policyd.ask.fits import Packet
from policyd.ask.reach import Outside, Reachability, reach
from policyd.ask.why import why
from policyd.ask.world import World
from policyd_compiler.ports import PortSet
from tests.asking import two_worlds, world_of
from tests.cases.form import ingress, namespace, pod, pods, policy
from tests.oracle import Manifest
from tests.strategies.worlds import worlds

PROBES: tuple[tuple[str, int], ...] = (
    ("tcp", 80),
    ("tcp", 53),
    ("tcp", 8080),
    ("tcp", 65535),
    ("udp", 53),
    ("udp", 80),
    ("sctp", 3868),
    ("icmp", 0),
)
OUTSIDE = ("203.0.113.9", "10.0.0.1", "192.168.7.7", "2001:db8:ffff::1", "fd00:ffff::7")


def verdict(found: Reachability, pair: tuple[str, str], family: int, protocol: str, port: int) -> str:
    for each in found.connections:
        if (each.sender.id, each.receiver.id) == pair and each.family in (None, family):
            if each.judged.allowed.allows(protocol, port):
                return "allowed"
            return "unknown" if each.judged.unknown.allows(protocol, port) else "denied"
    return "denied"


def says(changes: Iterable[Change], pair: tuple[str, str], family: int, protocol: str, port: int) -> bool:
    return any(
        (each.sender.id, each.receiver.id) == pair
        and each.family in (None, family)
        and each.ports.allows(protocol, port)
        for each in changes
    )


@given(two_worlds())
def test_what_opens_is_allowed_in_the_new_world_and_denied_in_the_old(both: tuple[World, World]) -> None:
    old, new = both
    found, before, after = difference(old, new), reach(old), reach(new)
    common = {each.id for each in old.endpoints} & {each.id for each in new.endpoints}
    assert {each.endpoint.id for each in found.endpoints if each.side == "both"} == common
    for sender in common:
        for receiver in common - {sender}:
            pair = sender, receiver
            for family in (4, 6):
                for probe in PROBES:
                    was = verdict(before, pair, family, *probe)
                    now = verdict(after, pair, family, *probe)
                    assert says(found.opened, pair, family, *probe) == ((was, now) == ("denied", "allowed"))
                    assert says(found.closed, pair, family, *probe) == ((was, now) == ("allowed", "denied"))


@given(two_worlds())
def test_the_rules_of_a_change_are_those_that_why_names(both: tuple[World, World]) -> None:
    old, new = both
    found = difference(old, new)
    for world, changes in ((new, found.opened), (old, found.closed)):
        for change in changes:
            sender, receiver = end_of(world, change.sender), end_of(world, change.receiver)
            for protocol, port in PROBES:
                if change.family is None and change.ports.allows(protocol, port) and protocol != "icmp":
                    verdict = why(world, sender, receiver, Packet(protocol.upper(), port))
                    assert verdict.answer == "allowed"
                    assert {*verdict.egress.rules, *verdict.ingress.rules} <= set(change.rules)


@given(two_worlds())
def test_a_change_has_the_rules_of_its_own_pair(both: tuple[World, World]) -> None:
    """They are looked up once for all pairs that look alike."""
    old, new = both
    found = difference(old, new)
    for world, changes in ((new, found.opened), (old, found.closed)):
        for each in changes:
            family: Any = each.family
            assert each.rules == rules_between(world, each.sender, each.receiver, each.ports, family)


def test_pairs_that_policies_tell_apart_have_rules_of_their_own() -> None:
    everybody = [namespace("x"), *(pod(f"x/{name}", f"10.0.0.{at}") for at, name in enumerate("abc", 1))]
    old = world_of([*everybody, policy("x", "c", policyTypes=["Ingress"])])
    new = world_of([*everybody, ingress("x", "c", {"from": [pods(pod="a"), pods(pod="b")]})])
    rules = {each.sender.name: [rule.peer for rule in each.rules] for each in difference(old, new).opened}
    assert rules == {"a": ["ingress[0].from[0]"], "b": ["ingress[0].from[1]"]}


def open_to(found: Iterable[Outside], endpoint: str, address: str, *, inbound: bool) -> PortSet:
    ports = PortSet()
    value = ip_address(address)
    for each in found:
        networks = [ip_network(text) for text in each.block.excepts]
        if (
            (each.endpoint.id, each.inbound, each.family) == (endpoint, inbound, value.version)
            and value in ip_network(each.block.cidr)
            and not any(value in network for network in networks)
        ):
            ports |= each.allowed
    return ports


@given(two_worlds())
def test_what_opens_to_addresses_outside_is_what_one_world_allows_and_the_other_does_not(
    both: tuple[World, World],
) -> None:
    """Here each endpoint is one pod, so that nothing is unknown of addresses outside."""
    old, new = both
    found = difference(old, new)
    sides: Mapping[str, Iterable[Outside]] = {"old": reach(old).outside, "new": reach(new).outside}
    common = {each.id for each in old.endpoints} & {each.id for each in new.endpoints}
    for endpoint in common:
        for address in OUTSIDE:
            for inbound in (True, False):
                was, now = (
                    open_to(sides[side], endpoint, address, inbound=inbound) for side in ("old", "new")
                )
                assert open_to(found.outside_opened, endpoint, address, inbound=inbound) == now - was
                assert open_to(found.outside_closed, endpoint, address, inbound=inbound) == was - now


@given(worlds())
def test_a_world_does_not_differ_from_itself(objects: list[Manifest]) -> None:
    assert difference(world_of(objects), world_of(objects)).empty


@given(two_worlds())
def test_backwards_is_the_same_with_sides_changed(both: tuple[World, World]) -> None:
    there, back = difference(*both), difference(*reversed(both))
    assert [(e.sender.id, e.receiver.id, e.family, e.ports) for e in there.opened] == [
        (e.sender.id, e.receiver.id, e.family, e.ports) for e in back.closed
    ]
    assert [(e.endpoint.id, e.direction, e.old, e.new) for e in there.isolation] == [
        (e.endpoint.id, e.direction, e.new, e.old) for e in back.isolation
    ]
