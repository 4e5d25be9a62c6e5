"""Large inputs, also such as somebody makes on purpose: work grows as what is written does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from policyd.kube.reading import ReadingOptions
from policyd.lint.gather import Input, gather
from policyd.lint.judge import judge
from tests.oracle import Manifest
from tests.support.counting import lines_run


def pod(number: int, **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": "x", "labels": labels},
    }


def policy(number: int, selector: Manifest, **spec: object) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"n{number}", "namespace": "x"},
        "spec": {"podSelector": selector, **spec},
    }


def label(key: str, value: str) -> Manifest:
    return {"podSelector": {"matchLabels": {key: value}}}


def unmatched_peers(size: int) -> list[Manifest]:
    peers = [label("app", f"peer-of-nobody-{number:x}") for number in range(size)]
    return [*(pod(n, app=f"app-{n:o}-x") for n in range(size)), policy(0, {}, ingress=[{"from": peers}])]


def unmatched_policies(size: int) -> list[Manifest]:
    wanted = [{"matchLabels": {"app": f"nobody-{number:x}"}} for number in range(size)]
    return [*(pod(n, app=f"app-{n:o}-x") for n in range(size)), *(policy(n, s) for n, s in enumerate(wanted))]


def crossed_egress(size: int) -> list[Manifest]:
    """Pods in many groups: each has its own few of many policies."""
    pods = [pod(n, **{f"k{bit}": "y" for bit in range(10) if n >> bit & 1}) for n in range(size)]
    rules = [{"to": [label("k1", "y")], "ports": [{"port": 80}]}]
    chosen = [{"matchLabels": {f"k{n % 10}": "y"}} for n in range(size)]
    return [*pods, *(policy(n, s, policyTypes=["Egress"], egress=rules) for n, s in enumerate(chosen))]


def many_rules(size: int) -> list[Manifest]:
    rules = [{"from": [label("app", "web")], "ports": [{"port": 53}, {"port": "nm"}]} for _ in range(size)]
    return [pod(0, app="web"), policy(0, {}, ingress=rules)]


def many_blocks(size: int) -> list[Manifest]:
    blocks = [{"ipBlock": {"cidr": f"11.{n >> 8}.{n & 255}.0/24"}} for n in range(size)]
    return [pod(0), policy(0, {}, ingress=[{"from": blocks}, {"from": blocks}])]


def lines_of(objects: list[Manifest]) -> int:
    """How many lines of Python the rules run."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
    gathered = gather([Input("w", text)], ReadingOptions())
    seen = gathered.seen(whole=True)
    return lines_run(lambda: judge(gathered.subjects, seen, gathered.texts))


@pytest.mark.parametrize(
    "world", [unmatched_peers, unmatched_policies, crossed_egress, many_rules, many_blocks]
)
def test_twice_as_much_takes_little_more_than_twice_as_long(world: Callable[[int], list[Manifest]]) -> None:
    """From where all bounds are reached on."""
    small, large = lines_of(world(420)), lines_of(world(840))
    assert large < 2.6 * small
