"""What rules in order decide together is what they decide of each peer and port alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.proof.stages import Rule, Stage, both, decide, decided_by

PEERS, PORTS = 4, 3
EVERYBODY, EVERYTHING = (1 << PEERS) - 1, (1 << PORTS) - 1

actions = st.sampled_from(["accept", "deny", "pass"])
rules = st.builds(
    Rule[str], actions, st.integers(0, EVERYBODY), st.integers(0, EVERYTHING), st.just("somewhere")
)
stages = st.lists(st.builds(Stage[str], st.lists(rules, max_size=5).map(tuple), actions), max_size=3)


def allows(allowed: tuple[tuple[int, int], ...], peer: int, port: int) -> bool:
    return any(peers >> peer & 1 and ports >> port & 1 for peers, ports in allowed)


@given(stages, stages)
def test_each_peer_and_port_is_decided_as_if_there_were_no_others(
    one: list[Stage[str]], other: list[Stage[str]]
) -> None:
    first, second = (decide(each, EVERYBODY, EVERYTHING) for each in (one, other))
    together = both(first, second)
    for peer in range(PEERS):
        for port in range(PORTS):
            expected = [decided_by(each, peer, port)[0] for each in (one, other)]
            assert [allows(first, peer, port), allows(second, peer, port)] == expected
            assert allows(together, peer, port) == all(expected)


@given(stages)
def test_a_peer_stands_in_one_row(written: list[Stage[str]]) -> None:
    seen = 0
    for peers, ports in decide(written, EVERYBODY, EVERYTHING):
        assert ports
        assert not seen & peers
        seen |= peers


def test_the_rule_that_decides_is_told() -> None:
    admin = Stage((Rule("pass", 1, 1, "a"), Rule("deny", 3, 1, "b")), "pass")
    network = Stage((Rule("accept", 1, 3, "c"),), "deny")
    assert decided_by((admin, network), 0, 0) == (True, network.rules[0])
    assert decided_by((admin, network), 1, 0) == (False, admin.rules[1])
    assert decided_by((admin, network), 1, 1) == (False, None)
    assert decided_by((admin,), 0, 1) == (True, None)
