"""One tenant's policies: whatever they are, they cost what they are, and nobody else pays for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench import tenants
from policyd.pipeline import build
from policyd_compiler.nft.ast import Chain, Goto, Jump, Set, Table, VerdictMap, Vmap
from policyd_compiler.nft.expressions import InSet
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods, requirement
from tests.oracle import Manifest
from tests.reliability.states import OPTIONS, UNBOUNDED, decoded
from tests.routes import compile_stored
from tests.support.counting import lines_run

NODE = "n1"
World = Callable[[int], list[Manifest]]
#: Lines of Python for each byte of manifests and of the ruleset: some 7 at most.
PER_BYTE = 10

FAMILIES: tuple[tuple[World, int], ...] = (
    (tenants.nested, 400),
    (tenants.nested_for_many, 30),
    (tenants.one_rule_policies, 1000),
    (tenants.random_selectors, 400),
    (tenants.halves, 100),
    (tenants.disjoint_ports, 1000),
    (tenants.excepts, 2400),
    (tenants.disjoint, 2000),
    (tenants.long_lists, 2000),
    (tenants.named_egress, 400),
    (tenants.named_ingress, 50),
    (tenants.namespace_selectors, 100),
)


@pytest.mark.parametrize(
    ("world", "size"), FAMILIES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_work_is_linear_in_what_comes_in_and_what_goes_out(world: World, size: int) -> None:
    """Each family of policies that ever cost more than its share, at a size where a square would show."""
    objects = world(size)
    state = decoded(objects)
    count = lines_run(lambda: build(state, "n1", UNBOUNDED))
    script = print_replace(build(state, "n1", UNBOUNDED).table)
    assert count < PER_BYTE * (len(json.dumps(objects)) + len(script))


#: Each family far beyond these budgets, which are a tenth of the defaults.
BEYOND: tuple[tuple[World, int], ...] = (
    (tenants.nested, 1000),
    (tenants.nested_for_many, 100),
    (tenants.one_rule_policies, 3000),
    (tenants.random_selectors, 800),
    (tenants.halves, 400),
    (tenants.disjoint_ports, 2000),
    (tenants.excepts, 4800),
    (tenants.disjoint, 20_000),
    (tenants.named_egress, 2000),
    (tenants.named_ingress, 800),
    (tenants.denials, 2000),
    (tenants.namespace_selectors, 800),
)
TENTH = Options(policy_budget=8_000, namespace_budget=12_000)
#: Lines of Python for each element of the budget, some 110 at most, and for each byte of manifests.
PER_ELEMENT, PER_BYTE_WRITTEN = 150, 2


@pytest.mark.parametrize(("world", "size"), BEYOND, ids=lambda value: getattr(value, "__name__", str(value)))
def test_work_is_bounded_by_the_budget_whatever_is_written(world: World, size: int) -> None:
    """What is closed is found at the cost of the budget, and not at what it would have cost."""
    objects = world(size)
    state = decoded(objects)
    count = lines_run(lambda: build(state, "n1", TENTH))
    assert count < PER_ELEMENT * TENTH.namespace_budget + PER_BYTE_WRITTEN * len(json.dumps(objects))


#: Two pods of the node with a neighbour's policies: their selectors find the tenant's pods, too.
PODS = {"a": "10.250.0.1", "b": "10.250.0.2"}
PEERS = (
    pods(pod="b"),
    pods(),
    namespaces(),
    namespaces(requirement("kubernetes.io/metadata.name", "NotIn", "x")),
    {**pods(requirement("pod", "NotIn", "p3", "p7")), **namespaces()},
    {**pods(l0="0"), **namespaces()},
    block("0.0.0.0/0", "10.250.0.0/24", "20.1.7.0/24"),
    block("198.18.0.0/15"),
    block("::/0"),
)
PORTS = ({"port": 80}, {"port": 1000, "endPort": 1100}, {"protocol": "UDP", "port": 53}, {"protocol": "SCTP"})


@st.composite
def neighbours(draw: st.DrawFn) -> list[Manifest]:
    """A namespace of two pods and up to four policies."""
    peers, ports = st.sampled_from(PEERS), st.sampled_from(PORTS)
    policies = []
    for number in range(draw(st.integers(1, 4))):
        rules = draw(
            st.lists(st.tuples(st.lists(peers, max_size=3), st.lists(ports, max_size=3)), max_size=3)
        )
        whom = draw(st.sampled_from([None, "a", "b"]))
        if draw(st.booleans()):
            written = [{"from": they, "ports": those} for they, those in rules]
            policies.append(ingress("x", whom, *written, name=f"n{number}"))
        else:
            written = [{"to": they, "ports": those} for they, those in rules]
            policies.append(egress("x", whom, *written, name=f"n{number}"))
    return neighbour_of(*policies)


def neighbour_of(*policies: Manifest) -> list[Manifest]:
    return [namespace("x"), *(pod(f"x/{name}", address) for name, address in PODS.items()), *policies]


#: Whose chain has a class of a hundred pods that no selector of his finds as a whole, but the tenant's does.
QUARTERS = neighbour_of(
    ingress(
        "x",
        None,
        {"from": [namespaces()], "ports": [PORTS[0]]},
        {"from": [{**pods(l0="0"), **namespaces()}, {**pods(l1="0"), **namespaces()}], "ports": [PORTS[1]]},
    )
)
SAME_QUARTER = ingress("tenant", None, {"from": [pods(l0="1", l1="1")]}, name="same")


@st.composite
def villains(draw: st.DrawFn) -> list[Manifest]:
    """One of the families at a moderate size, with its pods."""
    world, size = draw(st.sampled_from(FAMILIES))
    return world(draw(st.integers(1, max(1, size // 10))))


def rules_for(table: Table, address: str) -> dict[str, object]:
    """All that a packet from or to an address can meet behind the base chains, by name, without notes."""
    parts: dict[str, Set | VerdictMap | Chain] = {
        **{part.name: part for part in table.sets},
        **{part.name: part for part in table.maps},
        **{chain.name: chain for chain in table.chains},
    }
    dispatch = [m for m in table.maps if m.name.startswith(("ingress", "egress"))]
    number = int(ip_address(address))
    ahead: list[str] = [
        v.chain for m in dispatch for key, v in m.elements if key == number and isinstance(v, Goto | Jump)
    ]
    found: dict[str, object] = {}
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = replace(parts[name], notes=())
            ahead.extend(referred(parts[name]))
    return found


def referred(part: Set | VerdictMap | Chain) -> Iterator[str]:
    """What a part names."""
    match part:
        case Set():
            return
        case VerdictMap():
            yield from (v.chain for _, v in part.elements if isinstance(v, Goto | Jump))
        case Chain():
            for rule in part.rules:
                yield from (m.right.set for m in rule.matches if isinstance(m.right, InSet))
                if isinstance(rule.action, Vmap):
                    yield rule.action.map
                elif isinstance(rule.action, Goto | Jump):
                    yield rule.action.chain


@settings(max_examples=40)
@given(neighbours(), villains())
@example(QUARTERS, [*tenants.random_selectors(4), SAME_QUARTER])
def test_a_neighbour_has_the_rules_that_he_would_have_without_the_tenants_policies(
    neighbour: list[Manifest], tenant: list[Manifest]
) -> None:
    """The same sets, maps and chains under the same names: not only the same meaning."""
    without = [item for item in tenant if item["kind"] != "NetworkPolicy"]
    here, there = (compile_stored([*neighbour, *world], NODE).table for world in (tenant, without))
    for address in PODS.values():
        assert rules_for(here, address) == rules_for(there, address)


@settings(max_examples=20)
@given(neighbours(), villains())
def test_work_is_linear_whatever_is_generated(neighbour: list[Manifest], tenant: list[Manifest]) -> None:
    objects = [*neighbour, *tenant]
    state = decoded(objects)
    script = print_replace(build(state, NODE, OPTIONS).table)
    assert lines_run(lambda: build(state, NODE, OPTIONS)) < PER_BYTE * (
        len(json.dumps(objects)) + len(script)
    )
