"""What family bridge must do with each frame: docs/semantics.md (NP-160 to NP-166) as rules over boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from policyd.proof.frames import ARP_MAC, MAC, TARGET, TO_WHOM, WHOM, Frames
from policyd.proof.hooks import DHCP_SERVER, GROUPS, ICMP6, IGMP, LINK_LOCAL, NOWHERE
from policyd.proof.line import Line, Stretch, block, mask_of
from policyd.proof.meaning import Isolation, Meaning
from policyd.proof.parts import Parts
from policyd.proof.ports import Ports
from policyd.proof.space import ASKED, HOPS, ICMP, RECEIVER, SENDER, Condition
from policyd.proof.walk import OPEN, Step, Walked, Wanted, accept, drop
from policyd_compiler.nft.keys import Family

UNADDRESSED = (131, 133, 135, 143)
ROUTERS, ADVERTISEMENT = (134, 137), 136
#: Where what a pod sends to all goes; where what it sends from a link-local address may.
TO_ALL: Mapping[Family, Stretch] = {
    4: (0xFFFF_FFFF, 0xFFFF_FFFF),
    6: (block(*LINK_LOCAL, 6)[0], (1 << 128) - 1),
}
EVERYBODY: Mapping[Family, Stretch] = {4: block(0, 0, 4), 6: block(0, 0, 6)}
#: Of IPv4 groups and all that lies above them.
TO_GROUPS: Mapping[Family, tuple[int, int]] = {4: (0xE000_0000, 3), 6: GROUPS[6]}
#: The first byte of a target that is link-local: no pod's address begins so.
LINK_TARGETS = (0xFE << 120, (0xFF << 120) - 1)


_UNJUDGED = drop("NP-160: no policy could judge it")
_FORGED = drop("NP-162: not what the pod behind the port is")
_ROUTER = drop("NP-164: a pod is no router")
_SAYS = drop("NP-128: policies do not allow the sender to send it to whoever may have that address")
_HEARS = drop("NP-161: policies do not allow the receiver to hear it from that port")
_LINK = accept("NP-083: it belongs to the link")
_OWN = accept("it goes to the receiver's own address, and is judged next by table inet")


@dataclass
class Rules:
    """Rules by the name of a hook; more of them by names of their own."""

    chains: dict[str, tuple[Walked, ...]] = field(default_factory=dict)
    _names: dict[tuple[Walked, ...], str] = field(default_factory=dict)

    def rules(self, name: str) -> tuple[Walked, ...]:
        """The rules of a chain."""
        return self.chains[name]

    def add(self, name: str, rules: Iterator[Wanted]) -> str:
        """Add a chain."""
        self.chains[name] = tuple(Walked(number, *rule) for number, rule in enumerate(rules))
        return name

    def shared(self, name: str, rules: Iterator[Wanted]) -> str:
        """Add a chain, unless there is one with these rules; most pods' policies say the same of groups."""
        made = tuple(Walked(number, *rule) for number, rule in enumerate(rules))
        if made not in self._names:
            self._names[made], self.chains[name] = name, made
        return self._names[made]


@dataclass(frozen=True)
class Entering:
    """What comes in by one port: the one link of the space."""

    ports: Ports
    space: Frames

    def rules(self) -> Iterator[Wanted]:
        """What is taken from a pod's port, and nothing else is."""
        port = self.space.links[0]
        if not self.ports.is_of_pods(port):
            yield (), accept("the port leads to no pod")
            return
        yield ((MAC, self._foreign_macs),), drop("NP-162: another pod's hardware address")
        if self.space.kind == "ip" and self.space.family == 4:
            yield from self._addresses(4)
            asked = self.space.asked
            server = asked.of(17, asked.ports.mask(((DHCP_SERVER, DHCP_SERVER),)))
            to_all = RECEIVER, self.space.single((0xFFFF_FFFF,))
            yield (self._from(NOWHERE[4]), to_all, (ASKED, server)), accept("a pod asks for an address")
            yield (), _FORGED
        elif self.space.kind == "ip":
            yield from self._from6()
        elif self.space.kind == "arp":
            yield ((ARP_MAC, self._foreign_macs),), drop("NP-162: another pod's hardware address")
            yield from self._addresses(4)
            yield (self._from(NOWHERE[4]),), accept("an ARP probe (RFC 5227)")
            yield (), _FORGED
        yield (), _UNJUDGED

    def _from6(self) -> Iterator[Wanted]:
        space = self.space
        icmp = ASKED, space.asked.of(ICMP6)
        yield (icmp, (ICMP, _types(*ROUTERS))), _ROUTER
        own = space.targets.mask((a, a) for a in self._own(6)) | space.targets.mask((LINK_TARGETS,))
        if not (self._is_unknown and (not self._is_closed or self.ports.loose(4) | self.ports.loose(6))):
            yield (icmp, (ICMP, _types(ADVERTISEMENT)), (TARGET, space.targets.full & ~own)), _FORGED
        yield from self._addresses(6)
        yield (self._from(LINK_LOCAL),), accept("a link-local address binds nobody")
        yield (self._from(NOWHERE[6]), icmp, (ICMP, _types(*UNADDRESSED))), accept("it has no address yet")
        yield (), _FORGED

    def _addresses(self, family: Family) -> Iterator[Wanted]:
        """The addresses of a port's pod; of an unknown one those that nobody is known to have."""
        space, why = self.space, accept("an address of the pod behind the port")
        yield ((SENDER, space.single(self._own(family))),), why
        if self._is_unknown and self._is_closed:
            yield ((SENDER, space.single(self.ports.loose(family))),), why
        elif self._is_unknown:
            held = space.single(address for _, address in self.ports.bound[family])
            yield ((SENDER, space.full[SENDER] & ~held),), why

    def _own(self, family: Family) -> frozenset[int]:
        port = self.space.links[0]
        return frozenset(address for name, address in self.ports.bound[family] if name == port)

    def _from(self, prefix: tuple[int, int]) -> Condition:
        return SENDER, self.space.prefix(*prefix)

    @property
    def _is_unknown(self) -> bool:
        return self.space.links[0] not in self.ports.names

    @property
    def _is_closed(self) -> bool:
        """Whether unknown pods neither send nor receive (NP-107)."""
        return bool(self.ports.options.pod_interfaces)

    @cached_property
    def _foreign_macs(self) -> int:
        """Hardware addresses of other ports' pods."""
        own = {mac for port, mac in self.ports.macs if port == self.space.links[0]}
        return self.space.macs.mask((mac, mac) for _, mac in self.ports.macs if mac not in own)


@dataclass(frozen=True)
class Leaving:
    """What has come in by one port and goes out by another.

    `meaning` is of addresses as pods have them, `strangers` of addresses that are nobody's, `anybody` of
    senders without any address, `by_blocks` of addresses as pods have them where no selector means any.
    """

    ports: Ports
    space: Frames
    meaning: Meaning
    strangers: Meaning
    anybody: Meaning
    by_blocks: Meaning
    made: Rules

    def rules(self) -> Iterator[Wanted]:
        """What passes, and what does not."""
        if not self.ports.guarded:
            yield (), accept("no pod is known to hang on a bridge")
        elif self.space.kind == "ip":
            yield from self._of_ip(self.space.family)
        elif self.space.kind != "arp":
            yield from self._closed_ports()
            yield (), accept("it goes to no pod that is isolated")

    def _of_ip(self, family: Family) -> Iterator[Wanted]:
        space = self.space
        group = space.prefix(*GROUPS[6]) if family == 6 else 0
        if family == 6:
            off_link = RECEIVER, space.full[RECEIVER] & ~space.prefix(*LINK_LOCAL) & ~group
            yield from self._said(LINK_LOCAL, EVERYBODY[family], off_link)
        yield ((RECEIVER, space.bound(self.ports.bound[family])),), _OWN
        if family == 4:
            yield ((ASKED, space.asked.of(IGMP)),), accept("IGMP")
        else:
            yield from self._link(group)
        unbound = NOWHERE[4] if family == 4 else LINK_LOCAL
        yield from self._said(unbound, TO_ALL[family], None)
        yield self._to_groups((RECEIVER, space.prefix(*TO_GROUPS[family])), "group")
        if family == 4:
            yield self._to_groups((TO_WHOM, 1 << WHOM.index("broadcast")), "all")
        yield from self._to_hidden(family)
        yield self._heard(family)

    def _link(self, group: int) -> Iterator[Wanted]:
        """Neighbour discovery and MLD, as they are on a link (NP-083)."""
        icmp, unrouted = (ASKED, self.space.asked.of(ICMP6)), (HOPS, 1 << 255)
        yield (icmp, (ICMP, _types(133, 135, 136, *ROUTERS)), unrouted), _LINK
        sources = self.space.prefix(*LINK_LOCAL) | self.space.prefix(*NOWHERE[6])
        yield (icmp, (ICMP, _types(130, 131, 132, 143)), (SENDER, sources), (RECEIVER, group)), _LINK

    def _said(self, source: tuple[int, int], peers: Stretch, to: Condition | None) -> Iterator[Wanted]:
        """What isolated pods send from addresses that bind nobody: what they may send to all these peers.

        Where blocks alone do not allow that, but only together with selectors, either is right.
        """
        everything, sender = self.space.asked.full, self.space.prefix(*source)
        more = () if to is None else (to,)
        by_ports: dict[tuple[int, int], list[str]] = {}
        by_blocks = self.ports.isolations(self.strangers, "egress")
        for port, isolations in self.ports.isolations(self.meaning, "egress").items():
            allowed = self._to_all(isolations, by_blocks.get(port, ()), peers)
            by_ports.setdefault(allowed, []).append(port)
        ends = [(self.space.named(names), allowed) for allowed, names in by_ports.items()]
        hidden, blocks = (self.ports.of_hidden(m, "egress") for m in (self.meaning, self.strangers))
        for some, (most, certain) in (*ends, (self._unknown, self._to_all(hidden, blocks, peers))):
            yield ((SENDER, some & sender), (ASKED, everything & ~most), *more), _SAYS
            yield ((SENDER, some & sender), (ASKED, most & ~certain), *more), OPEN

    def _to_all(
        self, isolations: Sequence[Isolation], by_blocks: Sequence[Isolation], peers: Stretch
    ) -> tuple[int, int]:
        """The ports that isolations allow with all of these peers; and those that blocks alone allow."""
        everything = self.space.asked.full
        lines = (isolations, self.meaning.line), (by_blocks, self.space.addresses)
        most, certain = (
            _common((each.ports_throughout(line.mask((peers,)), everything) for each in of), everything)
            for of, line in lines
        )
        return most, certain

    def _to_groups(self, to: Condition, name: str) -> Wanted:
        """What isolated pods send to groups, or to all: as to an address that is nobody's (NP-128)."""
        family = self.space.family
        by_isolation: dict[int, tuple[Isolation, Isolation, list[int]]] = {}
        for of, address, pods in self.ports.claims:
            if of != family or not (any(self.ports.of(pods)) or self._is_hidden(of, address)):
                continue
            isolation, of_pods = (m.isolation_of("egress", pods) for m in (self.strangers, self.by_blocks))
            if isolation is not None and of_pods is not None:
                by_isolation.setdefault(id(isolation), (isolation, of_pods, []))[2].append(address)
        senders: dict[str, list[int]] = {}
        for number, (isolation, of_pods, addresses) in enumerate(by_isolation.values()):
            chain = self.made.shared(f"{name} {number}", self._denied(isolation, of_pods))
            senders.setdefault(chain, []).extend(addresses)
        parts = ((self.space.single(of), Step("jump", chain)) for chain, of in senders.items())
        return (to,), Step("map", parts=Parts(SENDER, parts))

    def _denied(self, isolation: Isolation, of_pods: Isolation) -> Iterator[Wanted]:
        """What an isolation does not allow to receivers; both are compared as in the space.

        `of_pods`: the same, with what blocks mean of pods. By a named port they may allow more of a pod's own
        address than of one that is nobody's: either is right.
        """
        for ports, ends in self._further(isolation, of_pods).items():
            yield ((RECEIVER, ends), (ASKED, ports)), OPEN
        rest = self.space.addresses.full
        for peers, ports in isolation.allowed:
            rest &= ~peers
            yield ((RECEIVER, self.space.at(peers)), (ASKED, self.space.asked.full & ~ports)), _SAYS
        yield ((RECEIVER, self.space.at(rest)),), _SAYS

    def _further(self, isolation: Isolation, of_pods: Isolation) -> dict[int, int]:
        """By ports that are allowed by a named port alone: ends with the addresses of these pods."""
        found: dict[int, list[int]] = {}
        for bit, of_all in self._alone:
            ports = of_pods.ports_of(of_all) & ~isolation.ports_of(bit)
            if ports:
                found.setdefault(ports, []).append(bit)
        count = self.space.addresses.count
        return {ports: self.space.at(mask_of(bits, count)) for ports, bits in found.items()}

    @cached_property
    def _alone(self) -> tuple[tuple[int, int], ...]:
        """The pods' addresses of which something is said alone: the bit in the space, and among all."""
        line, of_all = self.space.addresses, self.meaning.line
        assert isinstance(line, Line)  # noqa: S101 for mypy
        places = ((address, line.find(address)) for address in self.ports.cluster.claims[self.space.family])
        return tuple((bit, of_all.bit(a)) for a, bit in places if line.stretch(bit) == (a, a))

    def _to_hidden(self, family: Family) -> Iterator[Wanted]:
        """Behind a port that is not known an isolated pod may be, which hears what is for others."""
        hidden = self.ports.of_hidden(self.meaning, "ingress")
        own = self.space.single(a for of, a, _ in self.ports.hidden if of == family)
        ends = self.space.named(self._unknown_names) & ~own
        if any(map(self._closes, hidden)):
            yield ((RECEIVER, ends),), _HEARS
        elif not all(map(self._is_plainly_open, self.ports.of_hidden(self.anybody, "ingress"))):
            yield ((RECEIVER, ends),), OPEN

    def _heard(self, family: Family) -> Wanted:
        """What goes to an isolated pod's port, and not to its own address: by who sends (NP-161)."""
        by_isolations: dict[frozenset[int], tuple[tuple[Isolation, ...], list[str]]] = {}
        for port, isolations in self.ports.isolations(self.meaning, "ingress").items():
            by_isolations.setdefault(frozenset(map(id, isolations)), (isolations, []))[1].append(port)
        receivers: dict[str, list[str]] = {}
        to_anybody = self.ports.isolations(self.anybody, "ingress")
        for number, (isolations, ports) in enumerate(by_isolations.values()):
            of_port = to_anybody.get(ports[0], ())
            chain = self.made.shared(f"hears {number}", self._heard_by(isolations, of_port, family))
            receivers.setdefault(chain, []).extend(ports)
        parts = ((self.space.named(of), Step("goto", chain)) for chain, of in receivers.items())
        return (), Step("map", parts=Parts(RECEIVER, parts))

    def _heard_by(
        self, isolations: Sequence[Isolation], to_anybody: Sequence[Isolation], family: Family
    ) -> Iterator[Wanted]:
        """By who sends; `to_anybody` are the same isolations with no rules but those for everybody."""
        everything, line = self.space.asked.full, self.meaning.line
        addresses: dict[str, list[int]] = {}
        for port, address in self.ports.bound[family]:
            addresses.setdefault(port, []).append(address)
        by_ports: dict[int, list[str]] = {}
        for port, own in addresses.items():
            allowed = (each.ports_of(line.bit(address)) for each in isolations for address in own)
            by_ports.setdefault(_common(allowed, everything), []).append(port)
        for ports, names in by_ports.items():
            yield ((SENDER, self.space.named(names)), (ASKED, everything & ~ports)), _HEARS
        rest = self.space.full[SENDER] & ~self.space.named(addresses)
        unknown = (each.ports_throughout(line.full, everything) for each in isolations)
        yield ((SENDER, rest), (ASKED, everything & ~_common(unknown, everything))), _HEARS
        # An unknown sender may be whom a rule denies, and no block is known to hold it: either is right.
        certain = (each.ports_throughout(line.full, everything) for each in to_anybody)
        plain = all(isolation.only_accepts for isolation in isolations)
        yield ((SENDER, rest), (ASKED, everything & ~(_common(certain, everything) if plain else 0))), OPEN

    def _closed_ports(self) -> Iterator[Wanted]:
        """What goes to the ports of pods that are closed to somebody. Where policies close nothing, and only
        all their rules together say so, either is right."""
        isolated = self.ports.isolations(self.meaning, "ingress")
        closed = [port for port, isolations in isolated.items() if any(map(self._closes, isolations))]
        yield ((RECEIVER, self.space.named(closed)),), _UNJUDGED
        to_anybody = self.ports.isolations(self.anybody, "ingress")
        unclear = [port for port, each in to_anybody.items() if not all(map(self._is_plainly_open, each))]
        yield ((RECEIVER, self.space.named(unclear)),), OPEN

    def _closes(self, isolation: Isolation) -> bool:
        return not isolation.is_open(self.meaning.line.full, self.space.asked.full)

    def _is_plainly_open(self, to_anybody: Isolation) -> bool:
        """Whether rules that mean everybody, whatever their address, allow everything."""
        return to_anybody.only_accepts and not self._closes(to_anybody)

    def _is_hidden(self, family: Family, address: int) -> bool:
        return any((of, a) == (family, address) for of, a, _ in self.ports.hidden)

    @cached_property
    def _unknown_names(self) -> tuple[str, ...]:
        known = {*self.ports.others, *self.ports.names}
        return tuple(name for name in self.space.links if name not in known)

    @property
    def _unknown(self) -> int:
        """Ends at ports that are no known pod's, and may be one's."""
        return self.space.named(self._unknown_names)


def _types(*types: int) -> int:
    return sum(1 << number for number in types)


def _common(ports: Iterator[int], everything: int) -> int:
    found = everything
    for each in ports:
        found &= each
    return found
