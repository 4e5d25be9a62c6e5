"""What policies may cost a node: estimated before anything is compiled, so that nobody waits for one tenant.

A cost is a number of elements: what policies put into the ruleset of this node, and what it takes to find
that out, counted as so many elements as take as long (2 to 4 us each, 100 to 200 bytes). What is over its
budget is for the caller to quarantine: then its pods stay isolated, it allows nothing, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from policyd_compiler.ir import Isolation, Rule, Snapshot, Tier
from policyd_compiler.layout import NO_LAYOUT
from policyd_compiler.lower.classes import Classes, HostIndex, TooMany, classify
from policyd_compiler.lower.decide import Decider, ports_of
from policyd_compiler.lower.port_chains import choose_bases, difference, in_order
from policyd_compiler.lower.port_masks import PortMasks, spread
from policyd_compiler.lower.sharing import group_classes, own_classes
from policyd_compiler.nft.keys import FAMILIES, Family
from policyd_compiler.ports import PortSet

#: A policy is looked at, named and noted for each group of pods that it selects.
POLICY = 8
#: A rule is resolved, merged and noted again for each group of pods that it is compiled for.
RULE = 8
#: A chain for a set of ports, and one for answers: printed, hashed, declared.
CHAIN = 24
#: A range has two bounds, at each of which something comes or goes; and sets of ranges are slow to load.
RANGE = 3
#: Where ranges have different ports, each piece of them is decided and written, twice.
PIECE = 4
#: Hosts are divided in steps that are so much cheaper than an element.
STEPS = 8
#: So many policies of a namespace are measured alone at most: all others count with their namespace.
MOST_ALONE = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """The most elements that one policy, and all policies of one namespace, may cost a node.

    What is at the edge of them is compiled in a third of a second, so that a neighbour's change is in force
    within one. Of 10 000 pods and 1 000 policies the dearest namespace costs a node 7 000, and all policies
    together 75 000 if they were in one namespace (docs/scaling.md).
    """

    policy: int = 80_000
    namespace: int = 120_000

    def of_policy(self) -> str:
        """Why a policy is quarantined that is too dear alone."""
        return f"it costs this node more than {self.policy} elements"

    def of_namespace(self, name: str) -> str:
        """Why one is quarantined that is too dear together with those of its namespace."""
        return (
            f"the policies of namespace {name} cost this node more than {self.namespace} elements, "
            "and it is among the dearest"
        )


#: For who wants to know what is over another budget, or none.
UNBOUNDED = Budget(1 << 62, 1 << 62)


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A policy to quarantine (`namespace/name`), and why, in a sentence."""

    policy: str
    sentence: str


def over_budget(snapshot: Snapshot, budget: Budget) -> tuple[OverBudget, ...]:
    """The policies that must not be compiled on this node, by name: of a namespace too dear, the dearest.

    The snapshot with these quarantined is within the budget. They should stay so until a policy of their
    namespace changes: to find them takes some measurements, to see that the rest is cheap one or none.
    """
    isolations: dict[str, list[_Part]] = {}
    for part in _parts(snapshot):
        isolations.setdefault(part.namespace, []).append(part)
    found: list[OverBudget] = []
    lists: _Lists | None = None
    for namespace, parts in sorted(isolations.items()):
        shares = _shares(parts)
        # Most namespaces are far below: their shares, which are never less than the cost, show that at once.
        if sum(shares.values()) > min(budget.policy, budget.namespace):
            lists = lists or _Lists.of(snapshot)
            found.extend(_judge(namespace, parts, shares, budget, lists))
    return tuple(sorted(found, key=lambda over: over.policy))


def cost_at_most(
    isolation: Isolation,
    families: Iterable[Family],
    hosts: Mapping[Family, HostIndex],
    enough: int,
    most: int,
) -> int:
    """What NetworkPolicies in an isolation cost at most alone; over `most`, at least that it is.

    What is certainly less than `enough` is not measured. To find out costs no more than what it is.
    """
    of_tenants = _of_tenants(isolation)
    part = _Part(of_tenants, set(families), _weights(of_tenants, {}))
    glance = sum(_shares([part]).values())
    if glance <= enough:
        return glance
    return min(glance, _measure([part], _Lists(hosts), frozenset(), most))


def growth_at_most(isolation: Isolation) -> int:
    """What one host more costs at most, in both families, where it is new to NetworkPolicies in an isolation.

    An element, with a set of ports of its own, and a step for each rule.
    """
    weight = sum(_weights(_of_tenants(isolation), {}).values(), start=_Weight())
    if not weight.rules:
        return 0
    return len(FAMILIES) * (1 + CHAIN + PIECE + weight.ports + weight.rules**2 // STEPS + 1)


def cost_without_peers(isolation: Isolation) -> tuple[str, int]:
    """Whose isolation it is, and what it costs at most besides its peers, chains and the steps it takes."""
    weights = _weights(isolation, {})
    rules = (rule for stage in isolation.stages for rule in stage.rules)
    bounds = sum(2 * len(rule.peers.v4) + 2 * len(rule.peers.v6) for rule in rules)
    least = sum(weight.least for weight in weights.values())
    return _Part(isolation, set(), weights).namespace, least + PIECE * bounds


def cost_of_steps(rules: int, hosts: int) -> int:
    """What it costs at most, in both families, to divide the hosts that so many rules name."""
    # In no more parts than there are hosts, or than rules can be combined.
    parts = 1 + min(hosts, 1 << min(rules, 64))
    return len(FAMILIES) * (rules * parts // STEPS + 1)


def cost_of_chains(ports: Iterable[PortSet]) -> int:
    """What chains for these sets of ports cost at most."""
    return sum(CHAIN + _pieces(each) for each in ports)


@dataclass(frozen=True, slots=True)
class _Weight:
    """What rules bring: how many they are; their cost, without hosts and with; places (hosts, bounds); pieces
    of ports.
    """

    rules: int = 0
    least: int = 0
    alone: int = 0
    places: int = 0
    ports: int = 0

    def __add__(self, them: _Weight) -> _Weight:
        return _Weight(
            self.rules + them.rules,
            self.least + them.least,
            self.alone + them.alone,
            self.places + them.places,
            self.ports + them.ports,
        )


_ONE_POLICY = _Weight(least=POLICY, alone=POLICY)


@dataclass(frozen=True, slots=True)
class _Part:
    """An isolation of endpoints of this node, the families of their addresses, what each policy brings."""

    isolation: Isolation
    families: set[Family]
    weights: Mapping[str, _Weight]

    @property
    def namespace(self) -> str:
        """Whose policies these are: a NetworkPolicy selects pods of its own namespace only."""
        return next((origin.namespace for origin in self.isolation.policies if origin.namespace), "")


@dataclass(frozen=True, slots=True)
class _Lists:
    """The hosts by address, for both families."""

    by_family: Mapping[Family, HostIndex]

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Lists:
        """Those of a snapshot."""
        return cls({f: HostIndex(snapshot.hosts, f) for f in FAMILIES})


def _parts(snapshot: Snapshot) -> list[_Part]:
    found: dict[int, _Part] = {}
    known: dict[int, _Weight] = {}
    for endpoint in snapshot.endpoints:
        for isolation in (endpoint.ingress, endpoint.egress):
            if isolation is None:
                continue
            part = found.get(id(isolation))
            if part is None:
                of_tenants = _of_tenants(isolation)
                part = found[id(isolation)] = _Part(of_tenants, set(), _weights(of_tenants, known))
            part.families.update(f for f in FAMILIES if endpoint.host.address(f) is not None)
    return list(found.values())


def _of_tenants(isolation: Isolation) -> Isolation:
    """What NetworkPolicies say of it: the administrator's own policies have no budget, and cost no tenant."""
    if all(stage.tier is Tier.NETWORK_POLICY for stage in isolation.stages):
        return isolation
    stages = tuple(stage for stage in isolation.stages if stage.tier is Tier.NETWORK_POLICY)
    return replace(isolation, stages=stages, layout=NO_LAYOUT)


def _weights(isolation: Isolation, known: dict[int, _Weight]) -> Mapping[str, _Weight]:
    """What each policy brings. Isolations have rules in common: `known` holds their weights by identity."""
    found: dict[str, _Weight] = {}
    for stage in isolation.stages:
        for rule in stage.rules:
            weight = known.get(id(rule))
            if weight is None:
                weight = known[id(rule)] = _weigh(rule)
            policy = rule.origins[0].policy
            found[policy] = found.get(policy, _ONE_POLICY) + weight
    return found


def _weigh(rule: Rule) -> _Weight:
    ranges = len(rule.peers.v4) + len(rule.peers.v6)
    hosts = 2 * rule.peers.hosts.bit_count()
    least = RULE + RANGE * ranges
    return _Weight(1, least, least + hosts, 2 * ranges + hosts + 2, _pieces(rule.ports))


def _shares(parts: Sequence[_Part]) -> dict[str, int]:
    """What each policy may cost at most, at a glance: together never less than what they do cost."""
    shares: dict[str, int] = {}
    for part in parts:
        whole = sum(part.weights.values(), start=_Weight())
        # Each place may have ports of its own; and what is left of all ports has a piece more per protocol.
        ports = CHAIN + PIECE + 4 + whole.ports
        for policy, weight in part.weights.items():
            # Its peers may divide the ports of all, and its ports may be open to the peers of all.
            product = weight.places * ports + whole.places * weight.ports
            # In each family each of its rules may divide all hosts.
            steps = weight.rules * whole.places // STEPS + 1
            shares[policy] = shares.get(policy, 0) + weight.alone + product + steps
    return shares


def _most_alone(policy: str, parts: Sequence[_Part]) -> int:
    """What a policy may cost at most if there were no others."""
    own = (_Part(p.isolation, p.families, {policy: p.weights[policy]}) for p in parts if policy in p.weights)
    return sum(_shares(list(own)).values())


def _estimates(parts: Sequence[_Part]) -> dict[str, int]:
    """What each policy costs about, if its rules do not overlap with others: with a set of ports for each."""
    found: dict[str, int] = {}
    for part in parts:
        for policy, weight in part.weights.items():
            found[policy] = found.get(policy, 0) + weight.alone + CHAIN * weight.rules + weight.ports
    return found


def _pieces(ports: PortSet) -> int:
    return len(ports.tcp) + len(ports.udp) + len(ports.sctp) + ports.other


def _judge(
    namespace: str, parts: Sequence[_Part], shares: Mapping[str, int], budget: Budget, lists: _Lists
) -> Iterator[OverBudget]:
    """What must go of one namespace: what is too dear alone, then the dearest until the rest fits.

    Each look costs as much as the budget at most, and there are five at most, in each compilation.
    """
    whole = _measure(parts, lists, frozenset(), budget.namespace)
    if whole <= min(budget.policy, budget.namespace):
        return
    dearest = sorted(shares, key=lambda policy: (-shares[policy], policy))
    every, closed = frozenset(dearest), frozenset[str]()
    alone = (policy for policy in dearest if _most_alone(policy, parts) > budget.policy)
    for policy in islice(alone, MOST_ALONE):
        if _measure(parts, lists, every - {policy}, budget.policy) > budget.policy:
            closed |= {policy}
            yield OverBudget(policy, budget.of_policy())
    if whole <= budget.namespace:
        return
    rest = [policy for policy in dearest if policy not in closed]
    likely, sure = (_fitting(rest, costs, budget.namespace) for costs in (_estimates(parts), shares))
    cuts = sorted({likely if closed else max(likely, 1), (likely + sure) // 2})
    fits = (
        more
        for more in cuts
        if more < sure
        and _measure(parts, lists, closed.union(rest[:more]), budget.namespace) <= budget.namespace
    )
    sentence = budget.of_namespace(namespace)
    yield from (OverBudget(policy, sentence) for policy in rest[: next(fits, sure)])


def _fitting(rest: Sequence[str], costs: Mapping[str, int], most: int) -> int:
    """How many of the dearest must go until the costs of the rest are no more than `most` together."""
    left = sum(costs[policy] for policy in rest)
    for more, policy in enumerate(rest):
        if left <= most:
            return more
        left -= costs[policy]
    return len(rest)


def _measure(parts: Sequence[_Part], lists: _Lists, closed: frozenset[str], most: int) -> int:
    """What these isolations cost without the policies that are closed; over `most`, at least that it is."""
    cost = sum(w.least for part in parts for policy, w in part.weights.items() if policy not in closed)
    if cost > most:
        return cost
    left = [(_without(part.isolation, closed), part.families) for part in parts]
    masks = PortMasks(ports for isolation, _ in left for ports in ports_of(isolation))
    seen: set[tuple[int, ...]] = set()
    for isolation, families in left:
        decider = Decider(isolation, masks)
        for family in sorted(families):
            try:
                classes = classify(decider, lists.by_family[family], family, STEPS * (most - cost))
            except TooMany:
                return most + 1
            cost += _port_elements(classes, decider, seen) + _host_elements(classes, decider, family, seen)
            cost += _range_elements(classes) + classes.steps // STEPS
            if cost > most:
                return cost
    return cost


def _port_elements(classes: Classes, decider: Decider, seen: set[tuple[int, ...]]) -> int:
    """What is in port chains that were not seen before."""
    cost, bases = 0, choose_bases(classes)
    for mask in in_order(classes):
        base = bases.get(spread(mask), 0)
        key = *spread(mask), *spread(base)
        if mask not in (0, decider.masks.everything) and key not in seen:
            seen.add(key)
            cost += CHAIN + difference(mask, base)
    return cost


def _range_elements(classes: Classes) -> int:
    """What pieces of ranges cost more than the ranges that were written, where they have different ports."""
    different = len({ports for _, ports in classes.ranges}) > 1
    return PIECE * len(classes.ranges) if different else 0


def _host_elements(classes: Classes, decider: Decider, family: Family, seen: set[tuple[int, ...]]) -> int:
    """The hosts in a chain's own set or map, and in groups that were not seen before."""
    groups = group_classes(decider)
    cost = sum(hosts.bit_count() for _, hosts in own_classes(classes, groups))
    for _, hosts in groups:
        if (key := (family, *spread(hosts))) not in seen:
            seen.add(key)
            cost += hosts.bit_count()
    return cost


def _without(isolation: Isolation, closed: frozenset[str]) -> Isolation:
    """An isolation without the rules of some policies, and without groups that others do not name."""
    if not closed:
        return isolation
    stages = tuple(
        replace(stage, rules=tuple(r for r in stage.rules if r.origins[0].policy not in closed))
        for stage in isolation.stages
    )
    named = 0
    for rule in (rule for stage in stages for rule in stage.rules):
        named |= rule.peers.hosts
    layout = isolation.layout
    groups = tuple(group for group in layout.groups if not group.hosts & ~named)
    return replace(isolation, stages=stages, layout=replace(layout, groups=groups))
