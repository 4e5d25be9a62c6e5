"""NP301 and NP302: rules that add nothing, as another one allows all of it, whatever pods there are.

Judged by what is written alone: a rule is covered if for each of its peers and ports another rule has a
wider one, in a policy that selects all pods that its own does. So what is found is true of pods that
come later, too. Of two that cover each other the first stays: taking all that are found away changes
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policyd.kube.cidr import is_subset
from policyd.kube.objects import (
    NAME_LABEL,
    Cidr,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Peer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.kube.reading import Path
from policyd.lint.drafts import Draft, Subject
from policyd.lint.selectors import rules_of

#: Rules of one namespace and direction that are compared with each other; of more, within policies of fewer.
MOST = 400

#: Peers, and ports, of two rules that are compared one by one; of more only whether they are the same.
MOST_PAIRS = 400


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule of a policy, with its path."""

    policy: NetworkPolicy
    path: Path
    rule: PolicyRule

    @property
    def key(self) -> tuple[str, str, Path]:
        """Which rule it is."""
        return self.policy.namespace, self.policy.name, self.path


def covered_rules(policies: Iterable[NetworkPolicy]) -> Mapping[tuple[str, str, Path], Placed]:
    """Rule → the rule that makes it needless, of those that stay."""
    groups: defaultdict[tuple[str, object], list[Placed]] = defaultdict(list)
    for policy in policies:
        for path, rule in rules_of(policy):
            groups[policy.namespace, path[1]].append(Placed(policy, path, rule))
    found: dict[tuple[str, str, Path], Placed] = {}
    for placed in groups.values():
        if len(placed) <= MOST:
            found |= _covered(placed)
            continue
        for own in _by_policy(placed):
            if len(own) <= MOST:
                found |= _covered(own)
    return found


def _by_policy(placed: list[Placed]) -> Iterator[list[Placed]]:
    own: defaultdict[str, list[Placed]] = defaultdict(list)
    for each in placed:
        own[each.policy.name].append(each)
    yield from own.values()


def _covered(placed: list[Placed]) -> dict[tuple[str, str, Path], Placed]:
    found: dict[tuple[str, str, Path], Placed] = {}
    # Those that come later go first, so that of twins the first one stays.
    for each in reversed(placed):
        for other in placed:
            if other is not each and other.key not in found and covers(other, each):
                found[each.key] = other
                break
    # What covers must stay; whatever covers a rule that covers, covers all.
    return {key: _last(other, found) for key, other in found.items()}


def _last(placed: Placed, found: Mapping[tuple[str, str, Path], Placed]) -> Placed:
    while placed.key in found:
        placed = found[placed.key]
    return placed


def covers(wide: Placed, narrow: Placed) -> bool:
    """Whether all that the narrow rule allows to whomever its policy selects, the wide one allows, too."""
    if not implies(narrow.policy.pods, wide.policy.pods):
        return False
    if narrow.rule.peers == () or narrow.rule.ports == ():
        return False  # what was not understood says nothing
    return _peers_in(wide, narrow) and _ports_in(wide.rule.ports, narrow.rule.ports)


def _peers_in(wide: Placed, narrow: Placed) -> bool:
    if wide.rule.peers is None or narrow.rule.peers is None:
        return wide.rule.peers is None
    if len(wide.rule.peers) * len(narrow.rule.peers) > MOST_PAIRS:
        return wide.rule.peers == narrow.rule.peers
    return all(
        any(_peer_in(there, here, narrow.policy.namespace) for there in wide.rule.peers)
        for here in narrow.rule.peers
    )


def _peer_in(wide: Peer, narrow: Peer, namespace: str) -> bool:
    if isinstance(wide, IPBlock) or isinstance(narrow, IPBlock):
        return isinstance(wide, IPBlock) and isinstance(narrow, IPBlock) and block_in(wide, narrow)
    own = LabelSelector((Requirement(NAME_LABEL, "In", (namespace,)),))
    return implies(narrow.pods, wide.pods) and implies(
        own if narrow.namespaces is None else narrow.namespaces,
        own if wide.namespaces is None else wide.namespaces,
    )


def block_in(wide: IPBlock, narrow: IPBlock) -> bool:
    """Whether all addresses of the narrow block are in the wide one."""
    if wide.cidr is None or narrow.cidr is None or not is_subset(narrow.cidr, wide.cidr):
        return False
    return all(
        any(is_subset(hole, other) for other in narrow.excepts) or not _overlap(hole, narrow.cidr)
        for hole in wide.excepts
    )


def _overlap(one: Cidr, other: Cidr) -> bool:
    return is_subset(one, other) or is_subset(other, one)


def _ports_in(wide: tuple[PolicyPort, ...] | None, narrow: tuple[PolicyPort, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    if len(wide) * len(narrow) > MOST_PAIRS:
        return wide == narrow
    return all(any(port_in(there, here) for there in wide) for here in narrow)


def port_in(wide: PolicyPort, narrow: PolicyPort) -> bool:
    """Whether all ports that the narrow entry means, the wide one means, too."""
    if wide.protocol != narrow.protocol:
        return False
    if wide.port is None:
        return True
    if isinstance(wide.port, str) or not isinstance(narrow.port, int):
        return wide.port == narrow.port
    return wide.port <= narrow.port and (narrow.end_port or narrow.port) <= (wide.end_port or wide.port)


def implies(narrow: LabelSelector, wide: LabelSelector) -> bool:
    """Whether whatever the narrow selector matches, the wide one matches, too, as far as it is plain."""
    return all(any(_implies(mine, theirs) for mine in narrow.requirements) for theirs in wide.requirements)


def _implies(narrow: Requirement, wide: Requirement) -> bool:
    if narrow.key != wide.key:
        return False
    mine, theirs = set(narrow.values), set(wide.values)
    match wide.operator:
        case "In":
            return narrow.operator == "In" and mine <= theirs
        case "Exists":
            return narrow.operator in ("In", "Exists")
        case "DoesNotExist":
            return narrow.operator == "DoesNotExist"
        case "NotIn":
            return (
                (narrow.operator == "In" and not mine & theirs)
                or (narrow.operator == "NotIn" and theirs <= mine)
                or narrow.operator == "DoesNotExist"
            )


def needless(subject: Subject, covered: Mapping[tuple[str, str, Path], Placed]) -> Iterator[Draft]:
    """NP301: a rule whose work another one does; NP302: one that a wider rule of another policy shadows."""
    policy = subject.policy
    if policy is None:
        return
    for path, rule in rules_of(policy):
        mine = Placed(policy, path, rule)
        other = covered.get(mine.key)
        if other is None:
            continue
        there = f"{other.path[1]}[{other.path[2]}]"
        if other.policy.name == policy.name:
            yield Draft(
                "NP301", path, f"adds nothing: {there} of the same policy allows all of it", near=True
            )
            continue
        whose = f"{other.policy.namespace}/{other.policy.name} {there}"
        if covers(mine, other):
            yield Draft("NP301", path, f"adds nothing: {whose} allows the same", near=True)
        else:
            yield Draft("NP302", path, f"adds nothing: {whose} allows all of it, and more", near=True)
