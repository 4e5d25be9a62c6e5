"""Why something is allowed: the verdict that reach gives, by just the rules without which it is another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd.ask.ends import End, end_at, end_of
from policyd.ask.fits import Packet, Reference
from policyd.ask.reach import Connection as Reached
from policyd.ask.reach import reach
from policyd.ask.summed import judge_all
from policyd.ask.why import Side, Verdict, why
from policyd.ask.world import World
from policyd.kube.cidr import parse_ip
from policyd.kube.objects import KubeObject, NetworkPolicy
from policyd_compiler.ir import Direction
from tests.asking import ANY_WORLD, PROBES, verdict, world_of
from tests.oracle import Connection, Manifest, Oracle
from tests.strategies.clusters import Shape
from tests.strategies.worlds import connections, worlds

DIRECTIONS: tuple[Direction, Direction] = ("egress", "ingress")
RULE = re.compile(r"(ingress|egress)\[(\d+)\]")


def packet_of(protocol: str, port: int | None) -> Packet:
    return Packet("other" if port is None else protocol, port)


@given(data=st.data())
def test_it_says_what_reach_says(data: st.DataObject) -> None:
    """Of endpoints with and without addresses, in known and unknown namespaces."""
    world = world_of(data.draw(ANY_WORLD))
    said: dict[tuple[str, str], list[Reached]] = {}
    for connection in reach(world).connections:
        said.setdefault((connection.sender.id, connection.receiver.id), []).append(connection)
    for sender in world.endpoints[:4]:
        for receiver in world.endpoints[-4:]:
            if sender.id == receiver.id:
                continue
            ends = end_of(world, sender), end_of(world, receiver)
            entries = said.get((sender.id, receiver.id), [])
            summed = judge_all(world, *ends)
            for protocol, port in PROBES[::3]:
                found = {verdict(each.judged, protocol, port) for each in entries}
                if len(entries) == 1 and entries[0].family:
                    found.add("denied")  # by the other family, of which nothing is said
                answer = why(world, *ends, packet_of(protocol, port)).answer
                told = f"{sender.id} > {receiver.id} {protocol}/{port}: {answer}, but {entries}"
                assert answer == worst(found), told
                assert worst(verdict(each, protocol, port) for each in summed.values()) == answer, told


def worst(found: Iterable[str]) -> str:
    """Both families must allow it."""
    return min(found, key=["denied", "unknown", "allowed"].index, default="denied")


@given(data=st.data())
def test_of_two_addresses_it_says_what_the_oracle_says(data: st.DataObject) -> None:
    objects = data.draw(ANY_WORLD)
    world = world_of(objects)
    oracle = Oracle(objects)
    for connection in data.draw(st.lists(connections(objects), min_size=5, max_size=15)):
        if connection.proto in ("ND", "OTHER") or connection.left_pod or connection.local_node:
            continue
        sender, receiver = (end_at(world, *parse_ip(text)) for text in (connection.src, connection.dst))  # type: ignore[arg-type]
        if sender.node or receiver.node:
            continue
        answer = why(world, sender, receiver, packet_of(connection.proto, connection.dport)).answer
        if answer == "unknown":
            assert world.unknown_namespaces
        else:
            assert (answer == "allowed") == oracle.verdict(connection), oracle.explain(connection)


@given(data=st.data())
def test_its_rules_are_those_without_which_it_is_denied(data: st.DataObject) -> None:
    """All of them taken away: not allowed. Any one of them alone: allowed. What is near does not allow it.

    Of an address that several pods claim each must allow it, so that it takes a rule for each.
    """
    world = world_of(data.draw(worlds(Shape(conflicts=False))))
    if len(world.endpoints) < 2:
        return
    ends = data.draw(st.permutations(world.endpoints))[:2]
    protocol, port = data.draw(st.sampled_from(PROBES))
    packet = packet_of(protocol, port)
    found = ask(world, ends[0].id, ends[1].id, packet)
    for direction, side in zip(DIRECTIONS, (found.egress, found.ingress), strict=True):
        assert side.rules or side.state != "allowed" or side.because
        named = {rule_of(each) for each in side.rules}
        kept = {rule_of(each.reference) for each in side.near if not each.because.startswith("differs")}
        if side.state == "allowed" and not side.because:
            without = changed(world, direction, lambda rule, named=named: rule not in named)  # type: ignore[misc]
            assert side_of(ask(without, ends[0].id, ends[1].id, packet), direction).state not in (
                "allowed",
                "open",
            )
            for rule in named:
                alone = changed(world, direction, lambda each, rule=rule: each == rule)  # type: ignore[misc]
                assert side_of(ask(alone, ends[0].id, ends[1].id, packet), direction).state == "allowed"
        elif side.state == "denied" and not side.because:
            assert not named
            only_near = changed(world, direction, lambda rule, kept=kept: rule in kept)  # type: ignore[misc]
            assert side_of(ask(only_near, ends[0].id, ends[1].id, packet), direction).state == "denied"


def ask(world: World, sender: str, receiver: str, packet: Packet) -> Verdict:
    """Of two ends with addresses in one family: in both it can take a rule for each."""
    first, second = (world.endpoints[world.number[name]] for name in (sender, receiver))
    for source in first.addresses:
        for destination in second.addresses:
            pair = parse_ip(source), parse_ip(destination)
            if pair[0][0] == pair[1][0]:
                ends = [end_at(world, *each) for each in pair]  # type: ignore[arg-type]
                return why(world, ends[0], ends[1], packet)
    return why(world, end_of(world, first), end_of(world, second), packet)


def side_of(found: Verdict, direction: Direction) -> Side:
    return found.egress if direction == "egress" else found.ingress


def rule_of(reference: Reference) -> tuple[str, int]:
    match = RULE.fullmatch(reference.rule)
    assert match is not None
    return reference.policy, int(match[2])


def changed(world: World, direction: Direction, keep: Callable[[tuple[str, int]], bool]) -> World:
    """The world with some rules of a direction only. Policies isolate as before."""

    def edit(item: KubeObject) -> KubeObject:
        rules = getattr(item, direction) if isinstance(item, NetworkPolicy) else None
        if not isinstance(item, NetworkPolicy) or rules is None:
            return item
        name = f"{item.namespace}/{item.name}"
        left = tuple(rule for number, rule in enumerate(rules) if keep((name, number)))
        return replace(item, ingress=left) if direction == "ingress" else replace(item, egress=left)

    return World.read(map(edit, world.state.objects()))


def test_a_pod_reaches_itself_whatever_policies_say() -> None:
    policy: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "a", "name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "a", "name": "p"},
        "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }
    world = world_of([policy, pod])
    end: End = end_of(world, world.endpoints[0])
    found = why(world, end, end, Packet("TCP", 80))
    assert (found.answer, found.ingress.isolated_by) == ("allowed", ("a/deny",))
    assert Oracle([policy, pod]).verdict(Connection("10.0.0.1", "10.0.0.1", "TCP", 80))
