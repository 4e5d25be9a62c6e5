"""A port name that several egress rules of a policy use means, for each, its own peers (NP-051)."""

from __future__ import annotations

from policyd.cluster.resolve import resolve
from policyd_compiler.ir import Rule
from tests.cases.form import block, egress, namespace, pod, pods
from tests.oracle import Manifest
from tests.reliability.states import decoded


def web(number: int) -> list[Manifest]:
    return [{"name": "web", "containerPort": number}]


WORLD = [
    namespace("x"),
    pod("x/a", "10.0.0.1"),
    pod("x/b", "10.0.0.2", ports=web(80), node="n2"),
    pod("x/c", "10.0.0.3", ports=web(80), node="n2"),
    pod("x/d", "10.0.0.4", ports=web(8080), node="n2"),
    pod("x/e", "10.0.0.5", ports=web(80), node="n2"),
]
WEB = [{"port": "web"}]


def rules(*written: Manifest) -> tuple[Rule, ...]:
    snapshot = resolve(decoded([*WORLD, egress("x", "a", *written)]), "n1").snapshot
    (endpoint,) = snapshot.endpoints
    assert endpoint.egress is not None
    (stage,) = endpoint.egress.stages
    return stage.rules


def test_rules_that_use_a_name_are_joined_before_their_peers_are_divided_by_number() -> None:
    """One IR rule for each number, however many rules there are; e is nobody's peer, and has nothing."""
    found = rules(
        {"to": [pods(pod="b")], "ports": WEB},
        {"to": [block("10.0.0.3/32"), pods(pod="d")], "ports": WEB},
        {"to": [pods(pod="nobody")], "ports": WEB},
    )
    b, d, c_s = 1 << 1, 1 << 3, ((10 << 24) + 3,) * 2
    by_port = {rule.ports.tcp: (rule.peers.hosts, rule.peers.v4) for rule in found}
    assert by_port == {((80, 80),): (b, (c_s,)), ((8080, 8080),): (d, ())}
    assert len(found) == 2


def test_a_rule_for_everybody_swallows_the_others() -> None:
    found = rules({"to": [pods(pod="b")], "ports": WEB}, {"ports": WEB})
    everybody = {rule.ports.tcp: (rule.peers.hosts, rule.peers.anything) for rule in found}
    assert everybody == {((80, 80),): (0b10110, False), ((8080, 8080),): (0b01000, False)}
