"""What policies cost a node at the least, counted before any rule of theirs is resolved. Pure.

To resolve rules takes as long as there are rules, times the pods that give a port name another number, and
what that comes to is known only afterwards (`policyd_compiler.budget`). So first what is written is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from policyd.kube.objects import IPBlock, NetworkPolicy, PolicyRule
from policyd_compiler.budget import POLICY, RULE, Budget
from policyd_compiler.ir import Direction


def over_when_counted(
    policies: Sequence[NetworkPolicy],
    compiled: Mapping[Direction, Iterable[tuple[int, ...]]],
    closed: Container[int],
    budget: Budget,
) -> dict[int, str]:
    """The policies whose rules must not even be resolved, and why: of a namespace too dear, the dearest.

    `compiled`: for each group of pods that is judged by chains of its own, the numbers of its policies; those
    that are `closed` cost nothing any more.
    """
    costs = {n: cost for n, cost in _costs(policies, compiled).items() if n not in closed}
    spaces: dict[str, list[int]] = {}
    for number in costs:
        spaces.setdefault(policies[number].namespace, []).append(number)
    found: dict[int, str] = {}
    for space, numbers in spaces.items():
        found |= _judge(space, numbers, costs, budget)
    return found


def _costs(
    policies: Sequence[NetworkPolicy], compiled: Mapping[Direction, Iterable[tuple[int, ...]]]
) -> Counter[int]:
    """What is counted, in elements, of each policy that a group of pods is under."""
    costs = Counter[int]()
    for direction, groups in compiled.items():
        uses = Counter[int]()
        for numbers in groups:
            uses.update(numbers)
        for number, times in uses.items():
            rules = (policies[number].ingress if direction == "ingress" else policies[number].egress) or ()
            once, each = _count(rules, by_name=direction == "ingress")
            costs[number] += once + times * each
    return costs


def _count(rules: tuple[PolicyRule, ...], *, by_name: bool) -> tuple[int, int]:
    """What the rules of a direction cost once, and for each group of pods.

    `by_name`: whether ports with a name are looked up for each group.
    """
    once, each = 0, POLICY
    for rule in rules:
        ports = rule.ports or ()
        once += len(ports)
        for peer in rule.peers or ():
            once += 1 + (len(peer.excepts) if isinstance(peer, IPBlock) else 0)
        each += RULE
        if by_name and any(isinstance(port.port, str) for port in ports):
            each += len(ports)
    return once, each


def _judge(namespace: str, numbers: list[int], costs: Mapping[int, int], budget: Budget) -> dict[int, str]:
    over = {n: budget.of_policy() for n in numbers if costs[n] > budget.policy}
    rest = sorted((n for n in numbers if n not in over), key=lambda n: (-costs[n], n))
    left = sum(costs[n] for n in rest)
    for number in rest:
        if left <= budget.namespace:
            break
        left -= costs[number]
        over[number] = budget.of_namespace(namespace)
    return over
