"""A node's ruleset, cut to what one pod needs: the table for that pod's own network namespace. Pure.

Where a node does not see the packets of its pods (macvlan, eBPF that redirects), the pod's namespace does.
The chains that judge the pod, and all they ask, are the node's, part by part; only base chains and the maps
that they ask are others, as there a packet comes in or goes out, and one end is always the pod.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from policyd_compiler.addr import Ranges
from policyd_compiler.ir import Direction
from policyd_compiler.leads import Leads, What, read_leads, ways
from policyd_compiler.lower.link import LINK_LOCAL6, LOOPBACK4, LOOPBACK6, link_rules
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.states import ERRORS, ESTABLISHED, INVALID, MIDDLE, NEW
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Drop,
    Hook,
    Reject,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import Field, InSet, Match, Prefix, Word, address_field
from policyd_compiler.nft.keys import FAMILIES, Family, SetName, Side
from policyd_compiler.options import Options
from policyd_compiler.ruleset import Part, PartId, Ruleset, id_of, in_order, parts_of, reached
from policyd_compiler.served import NOTHING_SERVED, Exceptions, Served, ServiceVerdicts

#: Behind conntrack, before a mesh or NAT rewrites what the peer asked for (-100); and as it is on the wire,
#: behind source NAT (100): a pod may forward for others with its own address.
COMING, GOING = -110, 110
#: Where a proxy in the pod hands over what came: nothing rewrites that any more.
HANDED = 10
#: By family: addresses that are on no network.
LOOPBACK: Mapping[Family, tuple[int, int]] = {4: LOOPBACK4, 6: LOOPBACK6}

#: No address of any family.
NO_PROBES: Mapping[int, tuple[int, ...]] = {}

_WHAT: tuple[What, ...] = ("asking", "answering")
_DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
_TUNNEL_FIELDS = frozenset({Field.IP_DADDR, Field.IP6_DADDR, Field.UDP_DPORT, Field.META_L4PROTO})


class Address(NamedTuple):
    """An address of the pod."""

    family: Family
    number: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all pods of a node.

    `nodes`: addresses of this node, which reaches its own pods. `services`: addresses of Services that the
    node rewrites, so that what pods send there is judged by the node's own table, by its real destination.
    `returns`: with which source the network gives back to a pod what it sent to itself through its Service.
    """

    nodes: Mapping[Family, tuple[int, ...]] = field(default_factory=dict)
    services: Mapping[Family, Ranges] = field(default_factory=dict)
    returns: Mapping[Family, tuple[int, ...]] = field(default_factory=dict)


class Cutter:
    """One ruleset of a node, cut for one of its pods after the other."""

    def __init__(
        self,
        ruleset: Ruleset,
        around: Surroundings,
        options: Options,
        served: Served = NOTHING_SERVED,
        before: Cutter | None = None,
    ) -> None:
        """`served`: Services whose addresses are rewritten where this node may not see it.

        `before`: of the ruleset before, from which is taken what is the same.
        """
        self._ruleset, self.around, self._options = ruleset, around, options
        self.leads = read_leads(ruleset)
        self._tunnels = tuple(_tunnels(ruleset))
        always = {} if self._is_strict else around.nodes
        known = None if before is None else before.services
        self.services: ServiceVerdicts = ServiceVerdicts(ruleset, served, always, known)

    @property
    def table(self) -> Table:
        """The node's table that is cut."""
        return self._ruleset.table

    @property
    def served(self) -> Served:
        """The Services that there are."""
        return self.services.served

    def foresee(self, addresses: Iterable[Address]) -> None:
        """Find out what Services these pods may ask: what takes long, so that no cut of one has to."""
        for _ in self.exceptions(addresses):
            pass

    def exceptions(self, addresses: Iterable[Address]) -> Iterator[tuple[Family, Exceptions]]:
        """For each of a pod's addresses whose egress is judged: what it may ask of which Services."""
        for family, number in addresses:
            lead = self.leads.get(("asking", "egress", family), {}).get(number)
            if lead is not None:
                yield family, self.services.of(family, lead)

    def cut(
        self,
        addresses: Collection[Address],
        interface: str,
        probes: Mapping[int, tuple[int, ...]] = NO_PROBES,
    ) -> Table:
        """The table for the namespace of the pod that has these addresses, behind this interface.

        `probes`: addresses with which the node's probes come to this pod, besides those that the node has.
        Equal parts, surroundings, arguments and options give equal tables.
        """
        objects = Objects("drop", Names())  # behind routing the kernel takes no `reject`
        view = _View(tuple(sorted(addresses)), interface, probes, self.leads, objects)
        hooks = self._coming(view), self._going(view), *self._in_mesh(view)
        own = Table(
            self._options.table,
            sets=tuple(view.objects.sets.values()),
            maps=tuple(view.objects.maps.values()),
            chains=(*hooks, *view.objects.chains.values()),
        )
        return _with_parts(own, reached(self._ruleset, parts_of(own)), self._options)

    def since(self, before: Cutter) -> Since:
        """What is other than in an earlier ruleset: parts that stayed are mostly the same objects."""
        held = before._ruleset
        changed = frozenset(known for known, part in self._ruleset.items() if held.get(known) is not part)
        alike = self._settings == before._settings
        return Since(before, self, changed, alike)

    @property
    def _settings(self) -> tuple[object, ...]:
        return self.around, self._options, self._tunnels

    def _coming(self, view: _View) -> Chain:
        """What comes in by the pod's interface, for whatever address: NP-161 says who hears a group."""
        from_node = self._of_nodes(view, "saddr")
        # What the node sends to a pod may answer what the pod asked for: there its egress is judged (NP-165).
        strays = view.strays("egress", "daddr")
        judged = tuple(view.dispatch("asking", "ingress", "daddr"))
        rules = (
            Rule(Accept(), (Match(Field.IIFNAME, Word(view.interface), negated=True),)),
            ESTABLISHED,
            *link_rules(()),
            ERRORS,
            *((*strays, *from_node) if self._is_strict else (*from_node, *strays)),
            *judged,
            *((Rule(Drop(), comment="not to the pod's own address"),) if judged else ()),
        )
        return Chain(ChainName("prerouting"), rules, Hook("prerouting", COMING))

    def _going(self, view: _View) -> Chain:
        """What leaves by the pod's interface, which nobody else's address may be on (NP-162)."""
        going = Match(Field.OIFNAME, Word(view.interface))
        judged = tuple(view.dispatch("asking", "egress", "saddr"))
        rules = (
            Rule(Accept(), (replace(going, negated=True),)),
            *link_rules((going,)),
            *view.forged(),
            ESTABLISHED,
            ERRORS,
            *view.strays("ingress", "saddr"),
            *self._tunnels,
            *(() if self._is_strict else self._of_nodes(view, "daddr")),
            *self._to_services(view),
            *judged,
            *((Rule(Drop(), (Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6)),)),) if judged else ()),
        )
        return Chain(ChainName("postrouting"), rules, Hook("postrouting", GOING))

    def _in_mesh(self, view: _View) -> Iterator[Chain]:
        """What Istio's ztunnel takes from the application, and what it hands to it: with the ports they mean.

        On the network it is its own port, so this is the only place where those are seen.
        """
        if self._options.istio_ambient != "translate":
            return
        judged = tuple(view.dispatch("asking", "ingress", "daddr"))
        if judged:
            rules = (
                Rule(Accept(), (Match(Field.IIFNAME, Word("lo"), negated=True),)),
                ESTABLISHED,
                ERRORS,
                *(Rule(Accept(), (replace(forged.matches[0], negated=False),)) for forged in view.forged()),
                *(
                    Rule(Accept(), (Match(address_field(f, "saddr"), Prefix(*LOOPBACK[f])),))
                    for f in FAMILIES
                ),
                *self._of_nodes(view, "saddr"),
                *view.strays("egress", "daddr"),
                *judged,
            )
            yield Chain(ChainName("input"), rules, Hook("input", HANDED))
        judged = tuple(view.dispatch("asking", "egress", "saddr"))
        if judged:
            rules = (
                Rule(Accept(), (Match(Field.OIFNAME, Word(view.interface), negated=True),)),
                Rule(Accept(), (replace(NEW, negated=True),)),
                *link_rules(()),
                *(() if self._is_strict else self._of_nodes(view, "daddr")),
                *self._to_services(view),
                *judged,
            )
            yield Chain(ChainName("output"), rules, Hook("output", COMING))

    @property
    def _is_strict(self) -> bool:
        return self._options.node_egress == "enforce"

    def _of_nodes(self, view: _View, side: Side) -> tuple[Rule, ...]:
        """The node reaches its own pods; and they reach it, where that is not judged (decisions 2).

        So do they themselves, through their own Service (NP-096).
        """
        found = {family: set(self.around.nodes.get(family, ())) for family in FAMILIES}
        if side == "saddr":
            returned = self.around.returns if self._options.hairpin == "allow" else {}
            for family, own in found.items():
                own.update(view.probes.get(family, ()), returned.get(family, ()))
        return tuple(
            Rule(Accept(), (_in(f, side, view.objects.add_host_set(f"nodes{f}", f, tuple(sorted(own)))),))
            for f, own in found.items()
            if own
        )

    def _to_services(self, view: _View) -> Iterator[Rule]:
        """What the node rewrites is judged there, by where it really goes."""
        for family in FAMILIES:
            if ranges := self.around.services.get(family, ()):
                name = view.objects.add_range_set(f"services{family}", family, ranges)
                yield Rule(Accept(), (_in(family, "daddr", name),))
        for family, exceptions in self.exceptions(view.addresses):
            if exceptions:
                verdicts = tuple((address, view.objects.verdict(ports)) for address, ports in exceptions)
                name = view.objects.add_peer_map(f"served{family}", "served", family, verdicts)
                yield Rule(Vmap(address_field(family, "daddr"), name))


@dataclass(frozen=True, slots=True)
class Since:
    """What differs between two rulesets of a node: for most pods nothing."""

    before: Cutter
    after: Cutter
    changed: frozenset[PartId]
    alike: bool

    def concerns(self, addresses: Collection[Address], cut: Table) -> bool:
        """Whether the cut for the pod with these addresses may be another now."""
        before, after = self.before.leads, self.after.leads
        keys = [(what, direction) for what in _WHAT for direction in _DIRECTIONS]
        return (
            not self.alike
            or any(
                before.get((*key, family), {}).get(number) != after.get((*key, family), {}).get(number)
                for family, number in addresses
                for key in keys
            )
            or any(id_of(part) in self.changed for part in parts_of(cut))
            or [*self.before.exceptions(addresses)] != [*self.after.exceptions(addresses)]
        )


@dataclass(frozen=True, slots=True)
class _View:
    """One pod: whose packets these are, and where what judges them is collected."""

    addresses: tuple[Address, ...]
    interface: str
    probes: Mapping[int, tuple[int, ...]]
    leads: Leads
    objects: Objects

    def dispatch(self, what: What, direction: Direction, side: Side) -> Iterator[Rule]:
        """To what judges the pod; by its address, like a node's dispatch, so that elements change alike."""
        for family in FAMILIES:
            lead = self.leads.get((what, direction, family), {})
            own = (number for of, number in self.addresses if of == family)
            if elements := tuple((number, lead[number]) for number in own if number in lead):
                prefix = direction if what == "asking" else f"{direction}-answers"
                name = self.objects.add_host_map(f"{prefix}{family}", family, elements)
                yield Rule(Vmap(address_field(family, side), name))

    def strays(self, direction: Direction, side: Side) -> tuple[Rule, ...]:
        """What belongs to no known connection is judged as an answer, too (NP-165)."""
        answers = tuple(self.dispatch("answering", direction, side))
        return tuple(
            replace(rule, matches=opens_none) for opens_none in (INVALID, MIDDLE) for rule in answers
        )

    def forged(self) -> Iterator[Rule]:
        """Any source but the pod's own addresses, and link-local ones, which no router forwards."""
        for family in FAMILIES:
            own = tuple(number for of, number in self.addresses if of == family)
            name = self.objects.add_host_set(f"own{family}", family, own)
            beyond = (Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6), negated=True),) if family == 6 else ()
            matches = (replace(_in(family, "saddr", name), negated=True), *beyond)
            yield Rule(Drop(), matches, comment="not the address of the pod that sends")


def _tunnels(ruleset: Ruleset) -> Iterator[Rule]:
    """What no pod may send to other nodes, whichever pod it is: their tunnels (NP-163)."""
    [forward] = [chain for chain in ruleset.hooks if chain.is_at("forward")]
    for chain in ways(ruleset, forward):
        for rule in chain.rules:
            fields = {match.field for match in rule.matches}
            named = any(isinstance(match.right, InSet) for match in rule.matches)
            plain = named and not any(match.negated for match in rule.matches)
            if rule.action == Drop() and plain and fields <= _TUNNEL_FIELDS:
                yield rule


def _in(family: Family, side: Side, name: SetName) -> Match:
    return Match(address_field(family, side), InSet(name))


def _with_parts(table: Table, parts: Iterable[Part], options: Options) -> Table:
    """The table with these parts of another beside its own."""
    sets, maps, chains = list(table.sets), list(table.maps), list(table.chains)
    known = {part.name for part in sets}  # the same addresses have the same name
    for part in parts:
        match part:
            case Set() if part.name not in known:
                sets.append(part)
            case VerdictMap():
                maps.append(part)
            case Chain():
                chains.append(_silent(part) if options.deny == "reject" else part)
            case _:
                pass
    return replace(table, sets=in_order(sets), maps=in_order(maps), chains=in_order(chains))


def _silent(chain: Chain) -> Chain:
    """The chain without `reject`, which the kernel does not take behind routing."""
    rules = (replace(rule, action=Drop()) if rule.action == Reject() else rule for rule in chain.rules)
    return replace(chain, rules=tuple(rules))
