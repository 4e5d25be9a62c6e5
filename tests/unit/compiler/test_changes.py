"""Whose live connections a change concerns: those who are judged by another chain than before."""

from __future__ import annotations

from policyd_compiler.changes import changed_addresses
from policyd_compiler.nft.ast import Table
from policyd_compiler.plan import plan
from tests.cases.form import egress, ingress, pod, pods
from tests.oracle import Manifest
from tests.routes import compile_world

A, B = (10 << 24) + 1, (10 << 24) + 2
A6, B6 = (0xFD << 120) + 1, (0xFD << 120) + 2


def table(*policies: Manifest) -> Table:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    world = [space, pod("x/a", "10.0.0.1", "fd00::1"), pod("x/b", "10.0.0.2", "fd00::2"), *policies]
    return compile_world(world, "n1").table


OPEN = table()
TO_A = table(ingress("x", "a", {"ports": [{"port": 80}]}))
LESS_TO_A = table(ingress("x", "a", {"ports": [{"port": 81}]}))
FROM_A = table(egress("x", "a", {"to": [pods(pod="b")]}))


def test_who_is_judged_otherwise_is_reported() -> None:
    """By another chain for the same direction, or in a direction that was open; in both families."""
    assert changed_addresses(TO_A, LESS_TO_A) == {4: frozenset({A}), 6: frozenset({A6})}
    assert changed_addresses(TO_A, FROM_A) == {4: frozenset({A}), 6: frozenset({A6})}
    assert changed_addresses(OPEN, TO_A) == {4: frozenset({A}), 6: frozenset({A6})}


def test_who_is_judged_as_before_is_not_reported() -> None:
    both = table(ingress("x", "a", {"ports": [{"port": 80}]}), egress("x", "b", name="b"))
    assert changed_addresses(TO_A, both) == {4: frozenset({B}), 6: frozenset({B6})}
    assert changed_addresses(TO_A, TO_A) == {4: frozenset(), 6: frozenset()}


def test_who_is_open_now_is_not_reported() -> None:
    assert changed_addresses(TO_A, OPEN) == {4: frozenset(), 6: frozenset()}


def test_unknown_previous_ruleset_marks_all_isolated_pods_changed() -> None:
    assert changed_addresses(None, TO_A) == {4: frozenset({A}), 6: frozenset({A6})}


NOBODY: dict[int, frozenset[int]] = {4: frozenset(), 6: frozenset()}


def asking(*peers: str, name: str = "p", ports: tuple[int, ...] = (80,)) -> Table:
    """A pod that lets others in by their role, and these."""
    rules = {"from": [pods(role="peer")], "ports": [{"port": port} for port in ports]}
    friends = (
        pod(f"x/{peer}", f"10.0.1.{at}", node="n2", metadata={"labels": {"role": "peer"}})
        for at, peer in enumerate(peers)
    )
    return table(ingress("x", "a", rules, name=name), *friends)


def test_another_name_for_the_same_is_no_change() -> None:
    """As where sets were put beside, or a policy is called otherwise."""
    wanted = asking("one", "two")
    beside = plan(asking("one"), wanted).brings
    assert beside != wanted
    assert changed_addresses(beside, wanted) == NOBODY
    assert changed_addresses(wanted, beside) == NOBODY
    assert changed_addresses(wanted, asking("one", "two", name="other")) == NOBODY


def test_by_another_name_peers_are_compared() -> None:
    wanted, concerned = asking("one", "two"), {4: frozenset({A}), 6: frozenset({A6})}
    beside = plan(asking("one"), wanted).brings
    assert changed_addresses(beside, asking("one"))[4] == {A}
    assert changed_addresses(beside, asking("one", "two", ports=(80, 81))) == concerned
