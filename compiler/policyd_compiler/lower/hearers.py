"""Who on a bridge hears what goes to a group, to all, or to somebody else: judged port by port (NP-161).

Isolation is of the pod, not of its address. What goes to the receiving port's own address is judged in
family inet; whatever else reaches an isolated pod's port is judged here, as a packet of the sending port's
pod. And so is what an isolated pod sends from an address that family inet does not know as its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from policyd_compiler.ir import Action, Attachment, Direction, Endpoint, Isolation, restricts
from policyd_compiler.lower.classes import Classes, HostIndex, classify
from policyd_compiler.lower.decide import Decider
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import ChainName, Goto, Jump, Return, Rule, Verdict, Vmap
from policyd_compiler.nft.expressions import Field, InSet, Match, address_field
from policyd_compiler.nft.keys import Family, Interval, KeyType, SetName
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: Pods whose port is known, each with it.
Bound = Sequence[tuple[Endpoint, Attachment]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What isolations allow: as family inet has it, also in families in which their pods have no address."""

    indexes: Mapping[Family, HostIndex]
    known: dict[tuple[int, Family], tuple[Decider, Classes]] = field(default_factory=dict)

    def note(self, isolation: Isolation, family: Family, decider: Decider, classes: Classes) -> None:
        """Keep what was worked out before."""
        self.known[id(isolation), family] = decider, classes

    def of(self, isolation: Isolation, family: Family) -> tuple[Decider, Classes]:
        """The address classes of an isolation, and the decider whose masks they hold."""
        found = self.known.get((id(isolation), family))
        if found is None:
            decider = Decider(isolation)
            found = decider, classify(decider, self.indexes[family], family)
            self.known[id(isolation), family] = found
        return found

    def ports(self, isolation: Isolation, family: Family, address: int) -> PortSet:
        """What an isolation allows a peer with this address."""
        decider, classes = self.of(isolation, family)
        return decider.masks.ports(_mask_of(classes, self.indexes[family], address))

    def ports_of_others(self, isolation: Isolation, family: Family) -> PortSet:
        """What everybody may send; nothing where a rule denies, as an unknown sender may be whom it means."""
        decider, classes = self.of(isolation, family)
        accepts = all(rule.action is Action.ACCEPT for rule in decider.rules)
        return decider.masks.ports(classes.default) if accepts else NOTHING

    def ports_throughout(self, isolation: Isolation, family: Family, interval: Interval) -> PortSet:
        """What an isolation allows with every address of an interval."""
        decider, classes = self.of(isolation, family)
        low, high = interval
        inside = self.indexes[family].mask((interval,))
        masks = [mask for mask, hosts in classes.hosts if hosts & inside]
        for (first, last), mask in classes.ranges:
            if last < low or first > high:
                continue
            if first > low:
                masks.append(classes.default)
            masks.append(mask)
            low = last + 1
        if low <= high:
            masks.append(classes.default)
        common = masks[0]
        for mask in masks[1:]:
            common &= mask
        return decider.masks.ports(common)


def _mask_of(classes: Classes, index: HostIndex, address: int) -> int:
    """The ports that the one class allows in which the address is."""
    host = index.mask(((address, address),))
    for ports, hosts in classes.hosts:
        if hosts & host:
            return ports
    return classes.of_unnamed(address)


def hearing_map(bound: Bound, family: Family, judged: Judged, objects: Objects) -> SetName | None:
    """Add the map from an isolated pod's port to the chain that judges what it hears; None if nobody is."""
    senders: dict[str, list[int]] = {}
    for endpoint, attachment in bound:
        if (address := endpoint.host.address(family)) is not None:
            senders.setdefault(attachment.interface, []).append(address)
    elements: dict[str, Verdict] = {
        port: Goto(_hearing_chain(isolations, senders, family, judged, objects))
        for port, isolations in _by_port(bound, "ingress").items()
    }
    return _map(f"hears{family}", elements, objects)


def speaking_map(
    bound: Bound, family: Family, interval: Interval, judged: Judged, objects: Objects
) -> SetName | None:
    """Add the map from an isolated pod's port to what it may send to these addresses, to any holder.

    None if nobody is isolated. Its verdicts come back with what is allowed.
    """
    elements: dict[str, Verdict] = {}
    for port, isolations in _by_port(bound, "egress").items():
        ports = common(judged.ports_throughout(isolation, family, interval) for isolation in isolations)
        if not isinstance(verdict := coming_back(ports, objects), Return):
            elements[port] = verdict
    return _map(f"says{family}", elements, objects)


def group_map(
    endpoints: Iterable[Endpoint], family: Family, judged: Judged, objects: Objects
) -> SetName | None:
    """Add the map from an isolated pod's address to what it may send to groups; None if nobody is isolated.

    Family inet judges that, too, but at another hook: a packet between them could find one ruleset here, by
    which its sender is denied, and another one there, by which its receivers are (DESIGN).
    """
    elements: dict[int, Verdict] = {}
    for endpoint in endpoints:
        address, isolation = endpoint.host.address(family), endpoint.egress
        if address is not None and restricts(isolation):
            elements[address] = Jump(_group_chain(isolation, family, judged, objects))
    if not elements:
        return None
    return objects.add_host_map(f"speaks{family}", family, tuple(sorted(elements.items(), key=itemgetter(0))))


def _group_chain(isolation: Isolation, family: Family, judged: Judged, objects: Objects) -> ChainName:
    """What an isolation allows to addresses that are no pods'; comes back with that."""
    decider, classes = judged.of(isolation, family)
    rules = [Rule(objects.verdict(decider.masks.ports(classes.default)))]
    if classes.ranges:
        verdicts = tuple(
            (interval, objects.verdict(decider.masks.ports(mask))) for interval, mask in classes.ranges
        )
        name = objects.add_range_map(f"groups{family}", family, verdicts)
        rules.insert(0, Rule(Vmap(address_field(family, "daddr"), name)))
    note = "what a pod sends to groups"
    return objects.add_chain(f"speaks{family}", "", tuple(rules), (note,))


def _by_port(bound: Bound, direction: Direction) -> dict[str, list[Isolation]]:
    """All that isolates the pod behind a port, which may share one of its addresses with others (NP-166)."""
    found: dict[str, dict[int, Isolation]] = {}
    for endpoint, attachment in bound:
        isolation = endpoint.ingress if direction == "ingress" else endpoint.egress
        if restricts(isolation):
            found.setdefault(attachment.interface, {})[id(isolation)] = isolation
    return {port: list(isolations.values()) for port, isolations in found.items()}


def common(of: Iterable[PortSet]) -> PortSet:
    """What all of them allow."""
    allowed = EVERYTHING
    for ports in of:
        allowed &= ports
    return allowed


def coming_back(ports: PortSet, objects: Objects) -> Verdict:
    """Where a packet goes that may use `ports`: what is allowed meets the next rule."""
    verdict = objects.verdict(ports)
    return Jump(verdict.chain) if isinstance(verdict, Goto) else verdict


def _map(prefix: str, elements: Mapping[str, Verdict], objects: Objects) -> SetName | None:
    if not elements:
        return None
    return objects.add_map(prefix, KeyType.IFNAME, tuple(sorted(elements.items(), key=lambda item: item[0])))


def _hearing_chain(
    isolations: Sequence[Isolation],
    senders: Mapping[str, Sequence[int]],
    family: Family,
    judged: Judged,
    objects: Objects,
) -> ChainName:
    rest = common(judged.ports_of_others(isolation, family) for isolation in isolations)
    by_ports: dict[PortSet, set[str]] = {}
    for port, addresses in senders.items():
        ports = common(judged.ports(i, family, address) for i in isolations for address in addresses)
        if ports != rest:
            by_ports.setdefault(ports, set()).add(port)
    rules = (
        *_of_ports(by_ports, objects),
        Rule(objects.verdict(rest), comment="ports of no known pod, and others"),
    )
    note = "what goes to the port, but not to its pod's address"
    return objects.add_chain(f"hears{family}", "", rules, (note,))


def _of_ports(by_ports: Mapping[PortSet, set[str]], objects: Objects) -> Iterator[Rule]:
    for ports, names in sorted(by_ports.items(), key=lambda item: min(item[1])):
        name = objects.add_set("senders", KeyType.IFNAME, tuple(sorted(names)))
        yield Rule(objects.verdict(ports), (Match(Field.IIFNAME, InSet(name)),))
