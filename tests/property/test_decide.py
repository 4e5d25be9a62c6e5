"""Port masks are the port sets they stand for, and what rules decide is the same however it is reached."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.ir import ANYTHING, Action, Isolation, Origin, Rule, Stage, Tier
from policyd_compiler.lower.decide import Decider, Watch
from policyd_compiler.lower.port_masks import PortMasks
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet
from tests.strategies.snapshots import isolations, port_sets

PROBES = [
    (name, port)
    for name in ("tcp", "udp", "sctp", "icmp")
    for port in (0, 1, 79, 80, 81, 82, 443, 450, 451, 65535)
]


@given(st.lists(port_sets, min_size=1, max_size=6))
def test_masks_are_the_sets_they_stand_for(sets: list[PortSet]) -> None:
    masks = PortMasks(sets)
    for one in sets:
        assert masks.ports(masks.mask(one)) == one
        for other in sets:
            left, right = masks.mask(one), masks.mask(other)
            assert masks.ports(left | right) == one | other
            assert masks.ports(left & right) == one & other
            assert masks.ports(left & ~right) == one - other
    assert (masks.ports(0), masks.ports(masks.everything)) == (NOTHING, EVERYTHING)


@given(st.lists(port_sets, min_size=1, max_size=6))
def test_equal_masks_give_one_object(sets: list[PortSet]) -> None:
    """Many addresses share a set, which may be long: it is hashed once, and compared by identity."""
    masks = PortMasks(sets)
    mask = masks.mask(sets[0]) | masks.mask(sets[-1])
    assert masks.ports(mask) is masks.ports(mask)


def allowed(isolation: Isolation, matching: set[int], protocol: str, port: int) -> bool:
    """The slow, obvious reading of the IR, for a peer that exactly these rules match."""
    number, let_pass = 0, dict.fromkeys((stage.claimant for stage in isolation.stages), True)
    decided = set[int]()
    for stage in isolation.stages:
        decision = stage.otherwise
        for rule in reversed(list(enumerate(stage.rules, start=number))):
            if rule[0] in matching and rule[1].ports.allows(protocol, port):
                decision = rule[1].action
        number += len(stage.rules)
        if decision is not Action.PASS and stage.claimant not in decided:
            decided.add(stage.claimant)
            let_pass[stage.claimant] = decision is Action.ACCEPT
    return all(let_pass.values())


@given(isolations("ingress", 3), st.sets(st.integers(0, 20)))
def test_what_is_plain_to_allow_everything_does(isolation: Isolation, matching: set[int]) -> None:
    """NP-165: whatever rules match besides those for anybody."""
    rules = [rule for stage in isolation.stages for rule in stage.rules]
    anybody = {number for number, rule in enumerate(rules) if rule.peers.anything}
    if isolation.allows_everything:
        assert [p for p in PROBES if not allowed(isolation, matching | anybody, *p)] == []


def test_isolations_that_plainly_allow_everything() -> None:
    origins = (Origin("NetworkPolicy", "ns", "p"),)
    every = Rule(Action.ACCEPT, ANYTHING, EVERYTHING, origins)
    some = Rule(Action.ACCEPT, ANYTHING, PortSet(tcp=((80, 80),)), origins)
    first, middle = Tier.ADMIN, Tier.NETWORK_POLICY
    for stages, expected in (
        ((Stage(middle, (some, every), Action.DENY),), True),
        ((Stage(middle, (some,), Action.DENY),), False),
        ((Stage(middle, (), Action.DENY),), False),
        ((Stage(first, (), Action.PASS),), True),
        ((Stage(first, (replace(some, action=Action.DENY),), Action.PASS),), False),
        ((Stage(first, (every,), Action.PASS), Stage(middle, (), Action.DENY)), True),
        ((Stage(middle, (replace(every, action=Action.PASS),), Action.DENY),), True),
        ((Stage(middle, (every,), Action.DENY), Stage(middle, (), Action.DENY, 1)), False),
        ((Stage(middle, (every,), Action.DENY), Stage(middle, (every,), Action.DENY, 1)), True),
        (
            (
                Stage(first, (replace(every, action=Action.PASS),), Action.PASS),
                Stage(middle, (), Action.DENY),
            ),
            False,
        ),
    ):
        assert Isolation("ingress", origins, stages).allows_everything is expected


@given(isolations("ingress", 3), st.data())
def test_rules_that_come_and_go_leave_what_those_decide_that_are_there(
    isolation: Isolation, data: st.DataObject
) -> None:
    decider = Decider(isolation)
    numbers = st.integers(0, max(0, len(decider.rules) - 1))
    matching = data.draw(st.sets(numbers)) if decider.rules else set[int]()
    watch = Watch(decider, sorted(matching))
    for number in data.draw(st.lists(numbers, max_size=8)) if decider.rules else ():
        watch.flip(number)
        matching ^= {number}
        assert watch.decide() == decider.decide(sorted(matching))
    ports = decider.masks.ports(decider.decide(sorted(matching)))
    for protocol, port in PROBES:
        assert ports.allows(protocol, port) == allowed(isolation, matching, protocol, port)
