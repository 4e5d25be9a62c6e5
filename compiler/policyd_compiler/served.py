"""Which Services a pod may ask, where it is judged by their addresses and not by what is behind them. Pure.

An eBPF program at a pod's link rewrites a Service's address behind the pod's own namespace: no rule of the
node sees the packet before, or behind. So a Service's port is allowed if all that is behind it is: which one
the packet goes to is not known. One without anything behind it leads nowhere, and is denied.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from policyd_compiler.addr import BITS, union
from policyd_compiler.elements import differing_elements
from policyd_compiler.nft.ast import Chain, ChainName, Hook, Rule, Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.expressions import ADDRESS_FIELDS, Prefix
from policyd_compiler.nft.keys import L4, Family, Key
from policyd_compiler.nft.packet import Packet
from policyd_compiler.ports import PortSet
from policyd_compiler.ruleset import Part, Ruleset, in_order, parts_of, reached
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
        return judge.exceptions(self.served.get(family, {}))

    def _begin(self, family: Family, lead: Verdict) -> _Judge:
        """With what is known of the same chain in the ruleset before."""
        base = Chain(ChainName("postrouting"), (Rule(lead),), Hook("postrouting", 0))
        table = _table(base, tuple(reached(self._ruleset, (base,))))
        always = self.always.get(family, frozenset())
        return _Judge(family, table, always, self._before.get((family, lead)))


class _Judge:
    """What one chain says of addresses: found out once, and kept while what it asks is the same."""

    def __init__(
        self,
        family: Family,
        table: Table,
        always: Collection[int],
        before: _Judge | None,
    ) -> None:
        """`table`: of a base chain that leads to it, and nothing else."""
        self._family, self._table, self._always = family, table, always
        self._simulator: Simulator | None = None
        self._places = _Places(table)
        #: By address, or by what an address has in common with others: whether it may be asked.
        self._known: dict[int, dict[_Asked, bool]] = {}
        #: By a Service's address: its ports, and what is allowed where that is an exception.
        self._services: dict[int, tuple[tuple[ServedPort, ...], PortSet | None]] = {}
        self._served: Mapping[int, tuple[ServedPort, ...]] | None = None
        self._found: Exceptions = ()
        if before is not None:
            self._take(before)

    def _take(self, before: _Judge) -> None:
        self._found = before._found
        differing = differing_elements(before._table, self._table)
        if differing is None:
            return
        changed = {address for of_part in differing.values() for address in of_part}
        self._known = {address: said for address, said in before._known.items() if address not in changed}
        if not changed:
            self._services, self._served = before._services, before._served

    def exceptions(self, served: Mapping[int, tuple[ServedPort, ...]]) -> Exceptions:
        """Of these Services: the same object as before where it is equal."""
        if self._served is not served:
            known = self._services
            self._services = {
                address: held
                if (held := known.get(address)) is not None and held[0] == ports
                else (ports, self._exception(address, ports))
                for address, ports in served.items()
                if address not in self._always
            }
            found = tuple(
                (address, allowed)
                for address, (_, allowed) in sorted(self._services.items())
                if allowed is not None
            )
            self._found = self._found if found == self._found else found
            self._served, self._simulator = served, None
        return self._found

    def _exception(self, address: int, ports: tuple[ServedPort, ...]) -> PortSet | None:
        """What may be asked of a Service; None where the chain says so of its address already."""
        wanted = {
            (port.protocol, port.number): bool(port.backends)
            and all(self._passes(port.protocol, each) for each in port.backends)
            for port in ports
        }
        if all(
            self._passes(protocol, Backend(address, number)) == passes
            for (protocol, number), passes in wanted.items()
        ):
            return None
        return _ports(asked for asked, passes in wanted.items() if passes)

    def _passes(self, protocol: L4, to: Backend) -> bool:
        if to.address in self._always:
            return True
        said = self._known.setdefault(self._places.of(to.address), {})
        verdict = said.get((protocol, to.port))
        if verdict is None:
            if self._simulator is None:
                self._simulator = Simulator(self._table)
            packet = Packet(self._family, 0, to.address, protocol, to.port, hook="postrouting")
            verdict = self._simulator.evaluate(packet).verdict == "accept"
            said[protocol, to.port] = verdict
        return verdict


class _Places:
    """Which addresses a table cannot tell from each other: most are named by no part."""

    def __init__(self, table: Table) -> None:
        self._named: set[Key] = set()
        self._bounds: list[int] = []
        self._tells_all = False
        for part in parts_of(table):
            match part:
                case Set() | VerdictMap() if len(part.key.kinds) > 1:
                    self._tells_all = True  # of pairs, and whatever else
                case Set(elements=keys):
                    self._add(keys, interval=part.interval)
                case VerdictMap(elements=elements):
                    self._add((key for key, _ in elements), interval=part.interval)
                case Chain():
                    self._bounds += _bounds(part)
                case _:
                    pass
        self._bounds.sort()

    def _add(self, keys: Iterable[Key], *, interval: bool) -> None:
        if not interval:
            self._named.update(keys)
            return
        for key in keys:
            low, high = key if isinstance(key, tuple) else (key, key)
            if isinstance(low, int) and isinstance(high, int):
                self._bounds += (low, high + 1)

    def of(self, address: int) -> int:
        """The address itself where a part names it, and else a number that those of its kind share."""
        if self._tells_all or address in self._named:
            return address
        return ~bisect_right(self._bounds, address)


def _bounds(chain: Chain) -> Iterator[int]:
    """Where the prefixes that a chain names begin, and where others follow."""
    for match in (match for rule in chain.rules for match in rule.matches):
        if match.field in ADDRESS_FIELDS and isinstance(match.right, Prefix):
            family, _ = ADDRESS_FIELDS[match.field]
            yield match.right.network
            yield match.right.network + (1 << BITS[family] - match.right.length)


def _table(base: Chain, parts: Collection[Part]) -> Table:
    """A table that asks nothing but what its base chain leads to."""
    return Table(
        "asked",
        sets=in_order(part for part in parts if isinstance(part, Set)),
        maps=in_order(part for part in parts if isinstance(part, VerdictMap)),
        chains=in_order((base, *(part for part in parts if isinstance(part, Chain)))),
    )


def _ports(asked: Iterable[_Asked]) -> PortSet:
    """Single ports as a value."""
    of_each: dict[L4, set[int]] = {"tcp": set(), "udp": set(), "sctp": set()}
    for protocol, number in asked:
        of_each[protocol].add(number)
    tcp, udp, sctp = (union((number, number) for number in numbers) for numbers in of_each.values())
    return PortSet(tcp, udp, sctp)
