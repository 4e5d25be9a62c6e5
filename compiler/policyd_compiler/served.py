"""Which Services a pod may ask, where it is judged by their addresses and not by what is behind them. Pure.

An eBPF program at a pod's link rewrites a Service's address behind the pod's own namespace: no rule of the
node sees the packet before, or behind. So a Service's port is allowed if all that is behind it is: which one
the packet goes to is not known. One without anything behind it leads nowhere, and is denied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from policyd_compiler.addr import union
from policyd_compiler.nft.ast import Chain, ChainName, Hook, Rule, Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.keys import L4, Family, Key
from policyd_compiler.nft.packet import Packet
from policyd_compiler.ports import PortSet
from policyd_compiler.ruleset import Part, PartId, Ruleset, closure, refers_to
from policyd_compiler.sim import Simulator


class Backend(NamedTuple):
    """An address and a port behind a Service."""

    address: int
    port: int


@dataclass(frozen=True, slots=True)
class ServedPort:
    """A port of a Service, and all that is behind it."""

    protocol: L4
    number: int
    backends: tuple[Backend, ...] = ()


#: By family and address of a Service: its ports.
Served: TypeAlias = Mapping[Family, Mapping[int, tuple[ServedPort, ...]]]
NOTHING_SERVED: Served = {}
#: Addresses of Services for which the rules for addresses do not say what they should, and what is allowed.
Exceptions: TypeAlias = tuple[tuple[int, PortSet], ...]

_Asked: TypeAlias = tuple[L4, int]


@dataclass(slots=True)
class _Judge:
    """What one chain says of addresses: found out once for each, and kept while what it asks is the same."""

    parts: Mapping[PartId, Part]
    known: dict[int, dict[_Asked, bool]] = field(default_factory=dict)
    services: Mapping[int, tuple[ServedPort, ...]] | None = None
    found: Exceptions = ()
    simulator: Simulator | None = None


class ServiceVerdicts:
    """What the egress chains of one ruleset say of Services."""

    def __init__(
        self,
        ruleset: Ruleset,
        served: Served,
        always: Mapping[Family, Collection[int]],
        before: ServiceVerdicts | None = None,
    ) -> None:
        """`always`: addresses that every pod may ask, whatever its policies say.

        `before`: of an earlier ruleset, from which is taken what did not change.
        """
        self.served = served
        self._ruleset = ruleset
        self.always = {family: frozenset(addresses) for family, addresses in always.items()}
        self.judges: dict[tuple[Family, Verdict], _Judge] = {}
        alike = before is not None and before.always == self.always
        self._before = dict(before.judges) if before is not None and alike else {}

    def of(self, family: Family, lead: Verdict) -> Exceptions:
        """The exceptions for pods that are judged where `lead` leads: equal ones are the same object."""
        judge = self.judges.get((family, lead))
        if judge is None:
            judge = self.judges[family, lead] = self._begin(family, lead)
        services = self.served.get(family, {})
        if judge.services is not services:
            found = tuple(self._exceptions(judge, family, lead, services))
            judge.found = judge.found if found == judge.found else found
            judge.services, judge.simulator = services, None
        return judge.found

    def _begin(self, family: Family, lead: Verdict) -> _Judge:
        """With what is known of the same chain in the ruleset before."""
        named = {part for part in refers_to(_base(lead)) if part in self._ruleset}
        parts = {known: self._ruleset[known] for known in closure(named, self._ruleset.references)}
        before = self._before.get((family, lead))
        if before is None:
            return _Judge(parts)
        changed = _changed(before.parts, parts)
        if changed is None:
            return _Judge(parts, found=before.found)
        if not changed:
            return _Judge(parts, before.known, before.services, before.found)
        kept = {address: said for address, said in before.known.items() if address not in changed}
        return _Judge(parts, kept, None, before.found)

    def _exceptions(
        self, judge: _Judge, family: Family, lead: Verdict, services: Mapping[int, tuple[ServedPort, ...]]
    ) -> Iterator[tuple[int, PortSet]]:
        for address, ports in sorted(services.items()):
            if address in self.always.get(family, ()):
                continue
            wanted = {
                (port.protocol, port.number): bool(port.backends)
                and all(self._passes(judge, family, lead, port.protocol, each) for each in port.backends)
                for port in ports
            }
            plain = {
                (protocol, number): self._passes(judge, family, lead, protocol, Backend(address, number))
                for protocol, number in wanted
            }
            if wanted != plain:
                yield address, _ports(asked for asked, passes in wanted.items() if passes)

    def _passes(self, judge: _Judge, family: Family, lead: Verdict, protocol: L4, to: Backend) -> bool:
        if to.address in self.always.get(family, ()):
            return True
        said = judge.known.setdefault(to.address, {})
        verdict = said.get((protocol, to.port))
        if verdict is None:
            if judge.simulator is None:
                judge.simulator = Simulator(_table(judge.parts, lead))
            packet = Packet(family, 0, to.address, protocol, to.port, hook="postrouting")
            verdict = judge.simulator.evaluate(packet).verdict == "accept"
            said[protocol, to.port] = verdict
        return verdict


def _base(lead: Verdict) -> Chain:
    return Chain(ChainName("postrouting"), (Rule(lead),), Hook("postrouting", 0))


def _table(parts: Mapping[PartId, Part], lead: Verdict) -> Table:
    """A table that asks nothing but what the lead leads to."""
    return Table(
        "asked",
        sets=tuple(part for part in parts.values() if isinstance(part, Set)),
        maps=tuple(part for part in parts.values() if isinstance(part, VerdictMap)),
        chains=(_base(lead), *(part for part in parts.values() if isinstance(part, Chain))),
    )


def _changed(before: Mapping[PartId, Part], after: Mapping[PartId, Part]) -> frozenset[int] | None:
    """The addresses of which the same chains may say something else now; None: of any."""
    if before.keys() != after.keys():
        return None
    found: set[Key] = set()
    for known, part in after.items():
        match before[known], part:
            case held, _ if held is part:
                pass
            case Set(interval=False) as held, Set(interval=False):
                found |= set(held.elements) ^ set(part.elements)
            case VerdictMap(interval=False) as held, VerdictMap(interval=False):
                found |= {key for key, _ in set(held.elements) ^ set(part.elements)}
            case held, _:
                if held != part:
                    return None
    single = frozenset(key for key in found if isinstance(key, int))
    return single if len(single) == len(found) else None


def _ports(asked: Iterable[_Asked]) -> PortSet:
    """Single ports as a value."""
    of_each: dict[L4, set[int]] = {"tcp": set(), "udp": set(), "sctp": set()}
    for protocol, number in asked:
        of_each[protocol].add(number)
    tcp, udp, sctp = (union((number, number) for number in numbers) for numbers in of_each.values())
    return PortSet(tcp, udp, sctp)
