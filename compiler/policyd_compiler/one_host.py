"""Where one host stands in the sets and maps that an isolation asks: as lowering has it, for one host alone.

The law that holds this file: change by change it leads to the table that a compilation makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from policyd_compiler.addr import Ranges, contains
from policyd_compiler.ir import Host, Isolation
from policyd_compiler.lower.classes import Classes, classify_unnamed, rules_for_all
from policyd_compiler.lower.decide import Decider
from policyd_compiler.lower.lower import Judging
from policyd_compiler.lower.port_chains import LARGE, count_runs
from policyd_compiler.lower.sharing import group_classes
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import Family, PortSide, SetName
from policyd_compiler.ports import PortSet
from policyd_compiler.walks import HELD, Answer

#: Verdicts that are kept; kinds of hosts are few.
_MOST_KNOWN = 4096


class Sets(Protocol):
    """Sets and maps of peers by prefix and identity; verdicts by the ports that they let pass."""

    @property
    def peers(self) -> Mapping[tuple[str, str], SetName]: ...
    @property
    def verdicts(self) -> Mapping[tuple[PortSet, PortSide], Verdict]: ...


class CannotTell(Exception):
    """What becomes of a host is not known without a compilation; the text says why."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the chains of one family ask: group by group, then an own set, or maps for either side.

    `unnamed`: the classes of those that no rule names. `ranges`: for rules that have any, by number.
    """

    groups: tuple[SetName, ...]
    own_set: SetName | None
    own_maps: tuple[tuple[SetName, PortSide], ...]
    unnamed: Classes
    ranges: tuple[tuple[int, Ranges], ...]


class OneHost:
    """One isolation, asked for one host at a time."""

    def __init__(self, isolation: Isolation, judging: Judging, lowered: Sets) -> None:
        """`lowered` may have sets and verdicts of other isolations, too."""
        self._lowered = lowered
        self._decider = decider = Decider(isolation)
        layout = isolation.layout
        self._always = tuple(rules_for_all(decider))
        self._opened = tuple(ports for ports, _ in group_classes(decider))
        self._alike = None if layout.alike is None else decider.masks.mask(layout.alike)
        self._asked = {family: self._read(family, isolation) for family in judging.judges}
        self._is_simple = judging.plain and _is_simple(isolation)
        self._known: dict[tuple[int, ...], int] = {}

    def peers(self) -> Iterator[tuple[SetName, bool]]:
        """The sets that hold its peers, of two maps the one for who asks; and whether others share it."""
        for asked in self._asked.values():
            yield from ((name, True) for name in asked.groups)
            if asked.own_set is not None:
                yield asked.own_set, False
            yield from ((name, False) for name, side in asked.own_maps if side == "dport")

    def names(self) -> Iterator[SetName]:
        """All sets and maps that hold its peers."""
        for asked in self._asked.values():
            yield from asked.groups
            if asked.own_set is not None:
                yield asked.own_set
            yield from (name for name, _ in asked.own_maps)

    def elements(
        self, matching: Sequence[int], grouped: Sequence[bool], host: Host
    ) -> Iterator[tuple[SetName, int, Answer]]:
        """The elements of a host that these rules name, one at least: part, address, what a look-up finds.

        `matching`: the numbers of the rules, ascending. `grouped`: of each group, whether the host is in it.
        Raises CannotTell.
        """
        if not self._is_simple:
            raise CannotTell("several pods claim an address of this node, or sets of ports share chains")
        first = next((opened for opened, inside in zip(self._opened, grouped, strict=True) if inside), None)
        for family, asked in self._asked.items():
            address = host.address(family)
            if address is None:
                continue
            for name, inside in zip(asked.groups, grouped, strict=True):
                if inside:
                    yield name, address, HELD
            ports = self._ports(matching, asked, address)
            if first != ports and not (first is None and asked.unnamed.of_unnamed(address) == ports):
                yield from self._own(asked, address, ports)

    def _ports(self, matching: Sequence[int], asked: _Asked, address: int) -> int:
        """The ports that are open to the host, as a mask."""
        by_range = (number for number, ranges in asked.ranges if contains(ranges, address))
        numbers = tuple(sorted({*self._always, *matching, *by_range}))
        ports = self._known.get(numbers)
        if ports is None:
            ports = self._decider.decide(numbers)
            if count_runs(ports) >= LARGE:
                raise CannotTell("a set of ports is so large that it may share a chain with another")
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[numbers] = ports
        return ports

    def _own(self, asked: _Asked, address: int, ports: int) -> Iterator[tuple[SetName, int, Answer]]:
        """In the set or the maps of the chains' own."""
        if asked.own_set is not None:
            if ports != self._alike:
                raise CannotTell("a set would have to become a map")
            yield asked.own_set, address, HELD
            return
        if not asked.own_maps:
            raise CannotTell("a chain has no set of its own")
        for name, side in asked.own_maps:
            verdict = self._lowered.verdicts.get((self._decider.masks.ports(ports), side))
            if verdict is None:
                raise CannotTell("no chain lets just these ports pass")
            yield name, address, verdict

    def _read(self, family: Family, isolation: Isolation) -> _Asked:
        peers, identity = self._lowered.peers, isolation.layout.identity
        own_set = None if self._alike is None else peers.get((f"peers{family}", identity))
        sides: Iterable[tuple[str, PortSide]] = (("peer-ports", "dport"), ("peer-answers", "sport"))
        maps = tuple((peers.get((f"{prefix}{family}", identity)), side) for prefix, side in sides)
        return _Asked(
            tuple(peers[f"group{family}", group.identity] for group in isolation.layout.groups),
            own_set,
            tuple((name, side) for name, side in maps if name is not None and self._alike is None),
            classify_unnamed(self._decider, family),
            tuple(
                (number, rule.peers.ranges(family))
                for number, rule in enumerate(self._decider.rules)
                if rule.peers.ranges(family)
            ),
        )


def _is_simple(isolation: Isolation) -> bool:
    """Whether what is open to a peer follows from the rules that name it: of one claimant, in any tier."""
    return bool(isolation.layout.identity) and not any(stage.claimant for stage in isolation.stages)
