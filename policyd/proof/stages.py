"""What rules in order decide together: for every peer the ports that are allowed in the end.

Peers and ports are masks. A stage is a tier: its rules are tried in order, and what none of them matches gets
its `otherwise`. What is passed on meets the next stage; behind the last one it is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

Action: TypeAlias = Literal["accept", "deny", "pass"]
#: Peers, each in one row only, and the ports that they may use; whoever is in none may use nothing.
Allowed: TypeAlias = tuple[tuple[int, int], ...]
Where = TypeVar("Where")


class Rule(NamedTuple, Generic[Where]):
    """If peer and port match, `action`. `where` it is written."""

    action: Action
    peers: int
    ports: int
    where: Where


class Stage(NamedTuple, Generic[Where]):
    """Rules in order, then `otherwise`."""

    rules: tuple[Rule[Where], ...]
    otherwise: Action


def decide(stages: Iterable[Stage[Where]], everybody: int, everything: int) -> Allowed:
    """What is allowed to whom."""
    # By what is undecided, what is passed on and what is accepted so far: who is at that.
    classes: dict[tuple[int, int, int], int] = {(everything, 0, 0): everybody}
    for stage in stages:
        for rule in stage.rules:
            classes = _after(rule, classes)
        ended: dict[tuple[int, int, int], int] = {}
        for (undecided, passed, accepted), peers in classes.items():
            state = (passed, 0, accepted)
            if stage.otherwise == "accept":
                state = (passed, 0, accepted | undecided)
            elif stage.otherwise == "pass":
                state = (passed | undecided, 0, accepted)
            ended[state] = ended.get(state, 0) | peers
        classes = ended
    allowed: dict[int, int] = {}
    for (undecided, _, accepted), peers in classes.items():
        if ports := undecided | accepted:
            allowed[ports] = allowed.get(ports, 0) | peers
    return tuple((peers, ports) for ports, peers in allowed.items())


def _after(rule: Rule[Where], classes: dict[tuple[int, int, int], int]) -> dict[tuple[int, int, int], int]:
    """The classes behind a rule."""
    found: dict[tuple[int, int, int], int] = {}
    for state, peers in classes.items():
        undecided, passed, accepted = state
        hit = peers & rule.peers
        ports = undecided & rule.ports
        if not hit or not ports:
            found[state] = found.get(state, 0) | peers
            continue
        left = undecided & ~ports
        after = (left, passed, accepted)
        if rule.action == "accept":
            after = (left, passed, accepted | ports)
        elif rule.action == "pass":
            after = (left, passed | ports, accepted)
        found[after] = found.get(after, 0) | hit
        if rest := peers & ~hit:
            found[state] = found.get(state, 0) | rest
    return found


def both(one: Allowed, other: Allowed) -> Allowed:
    """What both allow."""
    found: dict[int, int] = {}
    for peers, ports in one:
        for others, theirs in other:
            if (shared := peers & others) and (allowed := ports & theirs):
                found[allowed] = found.get(allowed, 0) | shared
    return tuple((peers, ports) for ports, peers in found.items())


def decided_by(stages: Iterable[Stage[Where]], peer: int, port: int) -> tuple[bool, Rule[Where] | None]:
    """Whether one peer may use one port, by their bits, and the last rule that said something of it."""
    last: Rule[Where] | None = None
    for stage in stages:
        action = stage.otherwise
        for rule in stage.rules:
            if rule.peers >> peer & 1 and rule.ports >> port & 1:
                action, last = rule.action, rule
                break
        if action != "pass":
            return action == "accept", last
    return True, last
