"""What is said of all pairs, and of addresses outside = what the oracle says, whatever is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from policyd.ask.judged import Judged
from policyd.ask.reach import Outside, Reachability, reach
from policyd.ask.world import World
from policyd_compiler.ports import PortSet
from tests.asking import ANY_WORLD, PROBES, verdict, world_of
from tests.cases.form import cluster_policy, ingress, namespace, pod, pods
from tests.oracle import Connection, Manifest, Oracle
from tests.strategies.clusters import NAMESPACE_LABELS, NAMESPACES

OUTSIDE = {4: ("203.0.113.9", "10.0.0.1"), 6: ("2001:db8:ffff::1",)}


def with_namespaces(draw: st.DataObject, objects: list[Manifest]) -> list[Manifest]:
    """The world with all namespaces, those that were missing with any labels."""
    given_names = {item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"}
    made = []
    for name in sorted({*NAMESPACES} - given_names):
        chosen = {
            key: draw.draw(st.sampled_from([*values, None])) for key, values in NAMESPACE_LABELS.items()
        }
        found = {key: value for key, value in chosen.items() if value is not None}
        made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": found}})
    return [*objects, *made]


def addressed_pairs(world: World, found: Reachability) -> Iterator[tuple[str, str, Judged | None]]:
    """The addresses of pods of different endpoints, and what is said of them."""
    said = {(c.sender.id, c.receiver.id, c.family): c.judged for c in found.connections}
    for sender in world.endpoints[:4]:  # which come first says nothing about them
        for receiver in world.endpoints[-4:]:
            if sender.id == receiver.id:
                continue
            for source in sender.addresses:
                for destination in receiver.addresses:
                    family = ip_address(source).version
                    if family == ip_address(destination).version and source != destination:
                        both = said.get((sender.id, receiver.id, None))
                        yield source, destination, both or said.get((sender.id, receiver.id, family))


@given(data=st.data())
def test_pods_of_which_all_is_known_are_judged_as_the_oracle_does(data: st.DataObject) -> None:
    """Allowed: whatever the missing namespaces are. Denied: the same. Unknown: only if one is missing."""
    objects = data.draw(ANY_WORLD)
    world = world_of(objects)
    known = [with_namespaces(data, objects) for _ in range(2)]
    oracles = [Oracle(objects), *map(Oracle, known)]
    probes = data.draw(st.permutations(PROBES))[:4]
    for source, destination, judged in addressed_pairs(world, reach(world)):
        for protocol, port in probes:
            said = verdict(judged, protocol, port)
            expected = [o.verdict(Connection(source, destination, protocol, port)) for o in oracles]
            told = f"{source} > {destination} {protocol}/{port}: {said}, but {expected}"
            if said == "unknown":
                assert world.unknown_namespaces, told
            else:
                assert expected == [said == "allowed"] * 3, told


@given(data=st.data())
def test_with_all_namespaces_nothing_of_addressed_pods_is_unknown(data: st.DataObject) -> None:
    world = world_of(with_namespaces(data, data.draw(ANY_WORLD)))
    judged = [each for _, _, each in addressed_pairs(world, reach(world)) if each is not None]
    assert not any(each.unknown for each in judged)


@given(ANY_WORLD)
def test_addresses_outside_are_judged_as_the_oracle_does(objects: list[Manifest]) -> None:
    world = world_of(objects)
    oracle = Oracle(objects)
    entries = reach(world).outside
    for endpoint in world.endpoints[:4]:
        for own in endpoint.addresses:
            for other in OUTSIDE[ip_address(own).version]:
                for inbound in (True, False):
                    ends = (other, own) if inbound else (own, other)
                    mine = [e for e in entries if e.endpoint.id == endpoint.id and e.inbound == inbound]
                    allowed = [e.allowed for e in mine if holds(e, other)]
                    for protocol, port in PROBES[::2]:
                        said = any(is_in(ports, protocol, port) for ports in allowed)
                        expected = oracle.verdict(Connection(*ends, protocol, port))
                        # Whom a ClusterNetworkPolicy selects may not be known: then nothing is said.
                        silent = not said and world.unknown_namespaces and world.state.cluster_policies
                        assert said == expected or silent, (ends, protocol, port)


def holds(entry: Outside, address: str) -> bool:
    found = ip_address(address)
    inside = [ip_network(text) for text in (entry.block.cidr, *entry.block.excepts)]
    if found.version != inside[0].version:
        return False
    return found in inside[0] and not any(found in each for each in inside[1:])


def is_in(ports: PortSet, protocol: str, port: int | None) -> bool:
    return ports.allows(protocol.lower(), port or 0)


def test_of_two_claimants_one_may_be_selected_and_the_other_is() -> None:
    """Both have the policies that one has for sure, but not the same rules in the same order (NP-166)."""
    tier = cluster_policy(
        "first",
        subject={"namespaces": {"matchLabels": {"team": "blue"}}},
        ingress=[{"action": "Accept", "from": [{"namespaces": {}}]}],
    )
    world = world_of(
        [
            namespace("known", team="blue"),
            pod("known/p", "10.1.0.1"),
            pod("unknown/p", "10.1.0.1"),
            pod("unknown/q", "10.1.0.2"),
            ingress("known", None, {"from": [pods(pod="nobody")]}, name="first"),
            ingress("unknown", None, {"from": [pods(pod="nobody")]}, name="second"),
            tier,
        ]
    )
    found = {(each.sender.id, each.receiver.id): each.judged for each in reach(world).connections}
    assert verdict(found["unknown/pod/q", "known/pod/p"], "TCP", 80) == "unknown"
